import { beforeEach, describe, expect, it } from 'vitest';
import { ApiError } from '$/api/errors';
import { attachFrom, chunk, END, frame, GENERATION, SEND, START, World } from './world';

let world: World;
beforeEach(() => {
  world = new World();
});

describe('a lost connection', () => {
  it('is taken up after the last event, and the text stays', async () => {
    const { sink, link } = await world.begin();
    link.write('id: half an ev');
    link.fail();
    await world.pass(500);
    expect(world.link.asked).toEqual({ kind: 'attach', after: '1.2' });
    world.link
      .accept()
      .write(frame(3, { type: 'resumed', epoch: 2 }, 2) + frame(4, chunk('world'), 2) + frame(5, END, 2));
    await world.settle();
    expect(sink.text).toBe('Hello world');
    expect(sink.starts).toHaveLength(1);
  });

  it('is worth a word only if it is not back within a second', async () => {
    const { sink, link } = await world.begin();
    link.fail();
    await world.pass(900);
    world.link.accept().write(frame(3, chunk('world')));
    await world.settle();
    world.link.fail();
    await world.pass(900);
    world.link.accept();
    await world.pass(5_000);
    expect(sink.phases, 'back in time, twice').toEqual(['sending', 'streaming']);
    world.link.fail();
    await world.pass(990);
    expect(sink.phases).toEqual(['sending', 'streaming']);
    await world.pass(20);
    expect(sink.phases).toEqual(['sending', 'streaming', 'reconnecting']);
    await world.pass(25_000);
    expect(sink.phases.at(-1), 'and it stays so while nothing answers').toBe('reconnecting');
  });

  it('before any byte: sends the same request again', async () => {
    const { sink } = world.open(SEND);
    await world.settle();
    world.link.fail();
    await world.pass(500);
    expect(world.link.asked).toEqual({ kind: 'ask', key: 'k1' });
    world.link.accept().close();
    await world.pass(1_000);
    expect(world.links).toHaveLength(3);
    world.link.accept().write(frame(1, START) + frame(2, chunk('Hi')) + frame(3, END));
    await world.settle();
    expect([sink.text, sink.starts.length, sink.end?.status]).toEqual(['Hi', 1, 'completed']);
  });

  it('is a body that ends without a last event', async () => {
    const { link } = await world.begin();
    link.close();
    await world.pass(500);
    expect(world.link.after).toBe('1.2');
  });

  it('backs off with each failure, to ten seconds, and from the start after progress', async () => {
    world.chance = () => 0.999;
    const { link } = await world.begin();
    link.fail();
    for (const pause of [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
      const before = world.links.length;
      await world.pass(pause - 50);
      expect(world.links, `not before ${pause}`).toHaveLength(before);
      await world.pass(50);
      expect(world.links, `after ${pause}`).toHaveLength(before + 1);
      if (pause !== 10_000 || before < 7) world.link.fail();
    }
    world.link.accept().write(frame(3, chunk('!')));
    await world.settle();
    world.link.fail();
    await world.pass(500);
    expect(world.link.after).toBe('1.3');
  });

  it('comes back when the server says so', async () => {
    const { sink, link } = await world.begin();
    link.write('retry: 5000\n\n').close();
    await world.pass(4_900);
    expect(world.links).toHaveLength(1);
    await world.pass(1_200);
    expect(world.links).toHaveLength(2);
    world.link.accept().write('retry: 2000\n\n').close();
    await world.pass(1_900);
    expect(world.links).toHaveLength(2);
    await world.pass(1_200);
    world.link.accept().write(frame(3, END));
    await world.settle();
    expect(sink.text).toBe('Hello ');
    // A body with nothing but `retry:` is no sign of life.
    expect(sink.phases).toEqual(['sending', 'streaming', 'reconnecting', 'ended']);
  });

  it('waits as long as Retry-After says', async () => {
    const { link } = await world.begin();
    link.fail();
    await world.pass(500);
    world.link.refuse(new ApiError(429, { code: 'too_many_streams' }, 5));
    await world.pass(4_900);
    expect(world.links).toHaveLength(2);
    await world.pass(1_200);
    expect(world.links).toHaveLength(3);
    world.link.refuse(new ApiError(503, { code: 'draining' }, 3));
    await world.pass(4_100);
    expect(world.links).toHaveLength(4);
  });

  it('is offline only while the connection fails', async () => {
    const { sink, link } = await world.begin();
    world.device('offline');
    link.write(frame(3, chunk('still ')));
    await world.settle();
    expect(sink.phases.at(-1)).toBe('streaming');
    world.chance = () => 0.99;
    link.fail();
    await world.pass(500);
    world.link.fail();
    await world.pass(600);
    expect(sink.phases.at(-1)).toBe('offline');
    const tries = world.links.length;
    world.device('online');
    await world.settle();
    expect(world.links.length, 'tries at once').toBe(tries + 1);
    expect(sink.phases.at(-1)).toBe('reconnecting');
    world.link.accept();
    await world.pass(400);
    expect(sink.phases.at(-1), 'connected, even if nothing is said').toBe('streaming');
  });
});

describe('a connection that says nothing', () => {
  it('is replaced after 17 s, a heartbeat being missed; quiet after 20 s, given up after 32 s', async () => {
    const { sink } = await world.begin();
    await world.pass(16_900);
    expect(world.links).toHaveLength(1);
    await world.pass(200);
    expect([world.links.length, world.links[0]?.aborted, world.link.after]).toEqual([2, true, '1.2']);
    await world.pass(2_800);
    expect(sink.phases.at(-1)).toBe('streaming');
    await world.pass(200);
    expect(sink.phases.at(-1)).toBe('quiet');
    await world.pass(11_700);
    expect(world.links).toHaveLength(2);
    await world.pass(1_000);
    expect([world.links.length, world.links[1]?.aborted, world.link.after]).toEqual([3, true, '1.2']);
    await world.pass(500);
    expect(sink.phases.at(-1)).toBe('reconnecting');
  });

  it('through a proxy that hides the death of its server, it hears of the end all the same', async () => {
    const { sink } = await world.begin();
    await world.pass(17_100);
    world.link
      .accept()
      .write(frame(3, { type: 'error', code: 'interrupted', message: 'x', retryable: true }));
    await world.settle();
    expect([sink.end?.status, sink.phases]).toEqual(['interrupted', ['sending', 'streaming', 'ended']]);
  });

  it('is asked again and again, as long as the attach is answered and nothing else comes', async () => {
    const { sink } = await world.begin();
    for (let i = 0; i < 3; i++) {
      await world.pass(17_100);
      world.link.accept();
      await world.settle();
    }
    expect([world.links.length, sink.phases]).toEqual([4, ['sending', 'streaming']]);
  });

  it('lives by its heartbeats', async () => {
    const { sink, link } = await world.begin();
    for (let i = 0; i < 8; i++) {
      await world.pass(15_000);
      link.write(': heartbeat\n\n');
      await world.settle();
    }
    expect(world.links).toHaveLength(1);
    expect(sink.phases.at(-1)).toBe('streaming');
  });

  it('is quiet no longer once a heartbeat comes', async () => {
    const { sink } = await world.begin();
    await world.pass(25_000);
    world.link.accept().write(': heartbeat\n\n');
    await world.settle();
    expect(sink.phases.slice(-2)).toEqual(['quiet', 'streaming']);
  });

  it('is replaced at once when the device wakes up', async () => {
    await world.begin();
    world.sleep(3_600_000);
    await world.pass(0);
    expect(world.links).toHaveLength(2);
    expect(world.link.after).toBe('1.2');
  });

  it.each(['visible', 'restored', 'online'] as const)('is replaced at once on %s', async (event) => {
    await world.begin();
    world.sleep(31_000);
    world.device(event);
    await world.settle();
    expect(world.links).toHaveLength(2);
  });

  it('is replaced at once when the page is looked at after two missed heartbeats', async () => {
    await world.begin();
    await world.pass(31_000);
    expect(world.links).toHaveLength(2);
    world.device('visible');
    await world.settle();
    expect(world.links).toHaveLength(3);
  });

  it('is kept when the page is looked at soon after a byte', async () => {
    await world.begin();
    await world.pass(5_000);
    world.device('visible');
    await world.settle();
    expect(world.links).toHaveLength(1);
  });

  it('survives a clock that is set back', async () => {
    const { link } = await world.begin();
    link.fail();
    await world.settle();
    world.setBack(3_600_000);
    await world.pass(1_000);
    expect(world.link.after).toBe('1.2');
    world.link.accept();
    await world.settle();
    world.setBack(3_600_000);
    await world.pass(18_000);
    expect(world.links, 'a silent connection is still given up').toHaveLength(3);
  });
});

describe('what a broken path may do', () => {
  it('events that were seen are dropped, of the same and of an older epoch', async () => {
    const { sink, link } = await world.begin();
    link.write(
      frame(2, chunk('Hello ')) + frame(1, START) + frame(3, chunk('x'), 2) + frame(3, chunk('y'), 1),
    );
    await world.settle();
    expect([sink.text, sink.starts.length]).toEqual(['Hello x', 1]);
  });

  it('a gap is asked for again, then the whole answer, then it is an error', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(4, chunk('lost')));
    const asked: (string | null)[] = [];
    for (let i = 0; i < 2; i++) {
      await world.pass(1_000);
      asked.push(world.link.after);
      world.link.accept().write(frame(4, chunk('lost')));
      await world.settle();
    }
    await world.pass(2_000);
    asked.push(world.link.after);
    expect(asked).toEqual(['1.2', '1.2', null]);
    world.link.accept().write(frame(1, START) + frame(2, chunk('Hello ')) + frame(4, chunk('lost')));
    await world.settle();
    expect(sink.text).toBe('Hello ');
    expect(sink.end?.error?.code).toBe('stream_unreadable');
  });

  it('a gap that closes is forgotten', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(4, chunk('b')));
    await world.pass(1_000);
    world.link.accept().write(frame(3, chunk('a')) + frame(5, chunk('c')));
    await world.pass(1_000);
    expect(world.link.after).toBe('1.3');
    world.link.accept().write(frame(4, chunk('b')) + frame(6, chunk('d')));
    await world.pass(1_000);
    world.link.accept().write(frame(5, chunk('c')) + frame(6, chunk('d')) + frame(7, END));
    await world.settle();
    expect([sink.text, sink.end?.status]).toEqual(['Hello abcd', 'completed']);
  });

  it.each([
    ['JSON', 'id: 0:1.3\ndata: {"type": "chu\n\n'],
    ['JSON of no event', frame(3, '[1]').replace('[1]', 'null')],
    ['a chunk without text', frame(3, { type: 'chunk' })],
    ['an id', `id: x\ndata: ${JSON.stringify(chunk('x'))}\n\n`],
    ['no id', `data: ${JSON.stringify(chunk('x'))}\n\n`],
    ['another log', frame(3, chunk('x'), 1, 'other')],
  ])('malformed %s: once more, then it is an error', async (_, bad) => {
    const { sink, link } = await world.begin();
    link.write(frame(3, chunk('ok')) + bad.replace(':1.3', ':1.4'));
    await world.pass(1_000);
    expect(world.links).toHaveLength(2);
    expect(world.link.after).toBe('1.3');
    world.link.accept().write(bad);
    await world.settle();
    expect(sink.text).toBe('Hello ok');
    expect(sink.end).toMatchObject({ status: 'failed', error: { code: 'stream_unreadable' } });
  });

  it('bytes that are not UTF-8 are no text', async () => {
    const { sink, link } = await world.begin();
    link.write(Uint8Array.of(0x64, 0xff, 0x0a));
    await world.pass(1_000);
    expect(world.link.after).toBe('1.2');
    world.link.accept().write(frame(3, END));
    await world.settle();
    expect(sink.end?.status).toBe('completed');
  });

  it('an event without an end is not collected for ever', async () => {
    const { link } = await world.begin();
    link.write('data: ');
    for (let i = 0; i < 6; i++) link.write('x'.repeat(1024 * 1024));
    await world.pass(1_000);
    expect(link.aborted).toBe(true);
    expect(world.link.after).toBe('1.2');
  });

  it('a start discards what there is, wherever it stands', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(3, chunk('old')) + frame(4, START) + frame(5, chunk('new')));
    await world.settle();
    expect(sink.text).toBe('new');
  });

  it('a log that was rewound comes whole again', async () => {
    const { sink, link } = await world.begin();
    link.fail();
    await world.pass(1_000);
    world.link
      .accept()
      .write(frame(1, START) + frame(2, { type: 'resumed' }, 2) + frame(3, chunk('Anew'), 2));
    await world.settle();
    expect([sink.text, sink.starts.length]).toEqual(['Anew', 2]);
  });

  it('a successor that wrote over what we saw is asked again', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(2, { type: 'resumed' }, 2));
    await world.pass(1_000);
    expect(world.link.after).toBe('1.2');
    world.link.accept().write(frame(1, START) + frame(2, { type: 'resumed' }, 2) + frame(3, END, 2));
    await world.settle();
    expect([sink.text, sink.end?.status]).toEqual(['', 'completed']);
  });
});

describe('refusals', () => {
  it('a question that is not accepted is given back', async () => {
    const refusals = [
      new ApiError(422, { code: 'invalid' }),
      new ApiError(409, { code: 'generation_running', generation_id: 'g9' }),
      new ApiError(409, { code: 'generation_superseded', generation_id: 'g9' }),
      new ApiError(404, { code: 'not_found' }),
      new ApiError(429, { code: 'too_many_generations' }, 5),
      new ApiError(429, { code: 'rate_limited' }, 60),
    ];
    for (const error of refusals) {
      const { sink } = world.open(SEND);
      await world.settle();
      world.link.refuse(error);
      await world.settle();
      expect(sink.calls).toEqual(['sending', 'refused']);
      expect(sink.refusal).toBe(error);
    }
    expect([world.slots, world.timers, world.listeners]).toEqual([4, 0, 0]);
  });

  it('one that may pass is tried three times', async () => {
    const { sink } = world.open(SEND);
    for (let i = 0; i < 3; i++) {
      await world.settle();
      world.link.refuse(new ApiError(503, { code: 'draining' }, 2));
      await world.pass(3_100);
    }
    expect(world.links).toHaveLength(3);
    expect(sink.refusal).toMatchObject({ code: 'draining' });
  });

  it('a request that may be stored is never given up for a limit', async () => {
    const { sink } = world.open(SEND);
    await world.settle();
    world.link.fail();
    for (let i = 0; i < 8; i++) {
      await world.pass(3_100);
      world.link.refuse(new ApiError(503, { code: 'draining' }, 2));
    }
    await world.pass(3_100);
    world.link.accept().write(frame(1, START) + frame(2, END));
    await world.settle();
    expect([sink.refusal, sink.end?.status]).toEqual([null, 'completed']);
  });

  it('a refusal that names what was accepted before is followed', async () => {
    world.open(SEND);
    await world.settle();
    world.link.refuse(new ApiError(429, { code: 'too_many_streams', generation_id: GENERATION }, 5));
    await world.pass(6_100);
    expect(world.link.asked).toEqual({ kind: 'attach', after: null });
  });

  it('a gateway that speaks for an absent server is not the server', async () => {
    const { sink } = world.open(SEND);
    for (let i = 0; i < 8; i++) {
      await world.pass(10_000);
      world.link.refuse(new ApiError(502, '<html>'));
    }
    await world.pass(10_000);
    world.link.accept().write(frame(1, START));
    await world.settle();
    world.link.fail();
    await world.pass(1_000);
    world.link.refuse(new ApiError(404, 'page not found'));
    await world.pass(2_000);
    expect(sink.gone).toBe(0);
    world.link.accept().write(frame(2, END));
    await world.settle();
    expect(sink.end?.status).toBe('completed');
  });

  it.each([
    ['204', () => world.link.nothing()],
    ['404', () => world.link.refuse(new ApiError(404, { code: 'not_found' }))],
    ['403', () => world.link.refuse(new ApiError(403, { code: 'cross_site' }))],
  ])('a log that is gone (%s) is lost', async (_, answer) => {
    const { sink } = world.open(attachFrom('1.7'));
    await world.settle();
    answer();
    await world.pass(60_000);
    expect(sink.calls).toEqual(['streaming', 'lost']);
    expect(world.links).toHaveLength(1);
  });

  it('a cursor that the server does not understand is given up for the whole answer', async () => {
    const { sink } = world.open(attachFrom('1.7'));
    await world.settle();
    world.link.refuse(new ApiError(400, { code: 'bad_parameter' }));
    await world.pass(1_000);
    expect(world.link.after).toBeNull();
    world.link.refuse(new ApiError(400, { code: 'bad_parameter' }));
    await world.settle();
    expect(sink.gone).toBe(1);
  });

  it('a session that has ended stops it quietly, and it goes on after the next sign-in', async () => {
    const { stream, sink, link } = await world.begin();
    link.fail();
    await world.pass(1_000);
    world.link.refuse(new ApiError(401, { code: 'session_ended' }));
    await world.pass(60_000);
    expect(world.links).toHaveLength(2);
    expect([world.slots, world.timers, world.listeners, sink.finals]).toEqual([4, 0, 0, 0]);
    stream.open();
    await world.settle();
    expect(world.link.after).toBe('1.2');
    world.link.accept().write(frame(3, chunk('again')) + frame(4, END));
    await world.settle();
    expect(sink.text).toBe('Hello again');
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import {
  attachFrom,
  chunk,
  DISCARD,
  END,
  frame,
  GENERATION,
  Recorder,
  reasoning,
  SEND,
  START,
  World,
} from './world';

let world: World;
beforeEach(() => {
  world = new World();
});

describe('an answer without faults', () => {
  it('goes from sending to its end, and closes its connection there', async () => {
    const { stream, sink } = world.open(SEND);
    expect(stream.generationId).toBeNull();
    await world.settle();
    expect(world.link.asked).toEqual({ kind: 'ask', key: 'k1' });
    const link = world.link.accept().write(frame(1, START));
    await world.settle();
    expect(stream.generationId).toBe(GENERATION);
    link.write(frame(2, chunk('one ')));
    await world.settle();
    link.write(frame(3, chunk('two')) + frame(4, END));
    await world.settle();
    expect(sink.calls).toEqual([
      'sending',
      'started',
      'waiting',
      'appended',
      'streaming',
      'appended',
      'ended',
      'ended',
    ]);
    expect(sink.text).toBe('one two');
    expect(sink.starts).toEqual([
      { generationId: GENERATION, conversationId: 'c1', messageId: 'm1', model: 'local/tiny' },
    ]);
    expect(sink.end).toEqual({ status: 'completed', finishReason: 'stop', error: null });
    expect(link.aborted).toBe(true);
    expect([world.slots, world.timers, world.listeners]).toEqual([4, 0, 0]);
  });

  it('hands over the text of one read at once', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(3, chunk('a')) + frame(4, chunk('b')) + frame(5, chunk('c')));
    await world.settle();
    expect(sink.calls.filter((call) => call === 'appended')).toHaveLength(2);
    expect(sink.text).toBe('Hello abc');
  });

  it('knows how an answer can end', async () => {
    const ends = [
      [
        { ...END, status: 'stopped', finish_reason: null },
        { status: 'stopped', finishReason: null, error: null },
      ],
      [
        { type: 'error', code: 'provider_auth', message: 'no', retryable: false },
        {
          status: 'failed',
          finishReason: null,
          error: { code: 'provider_auth', message: 'no', retryable: false },
        },
      ],
      [
        { type: 'error', code: 'interrupted', message: 'gone', retryable: true },
        {
          status: 'interrupted',
          finishReason: null,
          error: { code: 'interrupted', message: 'gone', retryable: true },
        },
      ],
      [
        {
          type: 'error',
          code: 'provider_failed',
          message: 'no',
          retryable: true,
          retry_after: 7,
          request_id: 'r-1',
          detail: 'CUDA',
        },
        {
          status: 'failed',
          finishReason: null,
          error: {
            code: 'provider_failed',
            message: 'no',
            retryable: true,
            retryAfter: 7,
            requestId: 'r-1',
            detail: 'CUDA',
          },
        },
      ],
    ] as const;
    for (const [payload, expected] of ends) {
      const { sink, link } = await world.begin();
      link.write(frame(3, payload));
      await world.settle();
      expect(sink.end).toEqual(expected);
    }
  });

  it('lets unknown types move the cursor and nothing else', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(3, { type: 'notice', content: 'hm' }) + frame(4, chunk('world')));
    await world.settle();
    expect(sink.text).toBe('Hello world');
    link.fail();
    await world.pass(1_000);
    expect(world.link.after).toBe('1.4');
  });

  it('passes over what only a newer server says, and goes on behind it', async () => {
    const { sink, link } = await world.begin();
    const later = { type: 'of_tomorrow', content: 'no text', code: 'no end' };
    link.write(frame(3, later) + frame(4, chunk('wor')) + frame(5, { type: 'source', content: 'Hm' }));
    await world.settle();
    expect(sink.text).toBe('Hello wor');
    link.fail();
    await world.pass(500);
    expect(world.link.asked, 'whatever the newest event is').toEqual({ kind: 'attach', after: '1.5' });
    world.link.accept().write(frame(6, later) + frame(7, chunk('ld')) + frame(8, END));
    await world.settle();
    expect(sink.text).toBe('Hello world');
    expect(sink.end).toEqual({ status: 'completed', finishReason: 'stop', error: null });
  });

  it('tells thoughts from words, in the order in which they came', async () => {
    const { sink, link } = await world.begin(SEND);
    link.write(frame(3, reasoning('Hm, ')) + frame(4, reasoning('no.')) + frame(5, chunk('world')));
    await world.settle();
    expect(sink.parts).toEqual(['text:Hello ', 'reasoning:Hm, no.', 'text:world']);
    expect(
      sink.calls.filter((call) => call === 'appended'),
      'once for each run of a kind',
    ).toHaveLength(3);
    link.fail();
    await world.pass(500);
    expect(world.link.after, 'each thought moves the cursor').toBe('1.5');
  });

  it('streams as soon as something is thought', async () => {
    const { sink } = world.open(SEND);
    await world.settle();
    world.link.accept().write(frame(1, START) + frame(2, reasoning('Hm')));
    await world.settle();
    expect(sink.calls).toEqual(['sending', 'started', 'appended', 'streaming']);
  });

  it('discards the thoughts since the last text when the model is asked again', async () => {
    const { sink, link } = await world.begin();
    link.write(frame(3, reasoning('one')));
    await world.settle();
    link.write(frame(4, reasoning(' two')) + frame(5, DISCARD, 2) + frame(6, reasoning('three'), 2));
    await world.settle();
    expect(sink.parts).toEqual(['text:Hello ', 'reasoning:three']);
    link.write(frame(7, { type: 'resumed' }, 3) + frame(8, reasoning(' four'), 3) + frame(9, chunk('.'), 3));
    await world.settle();
    expect(sink.parts).toEqual(['text:Hello ', 'reasoning:three four', 'text:.']);
  });

  it('shows nothing of the thoughts that one read brings and takes back', async () => {
    const { sink } = world.open(attachFrom(null));
    await world.settle();
    const log = [START, reasoning('void'), DISCARD, reasoning('kept'), chunk('Hi')];
    world.link.accept().write(log.map((event, n) => frame(n + 1, event)).join(''));
    await world.settle();
    expect(sink.parts).toEqual(['reasoning:kept', 'text:Hi']);
    expect(sink.calls.filter((call) => call === 'appended')).toHaveLength(2);
  });

  it('continues and retries with their own requests', async () => {
    world.open({ kind: 'continue', generationId: 'g0', key: 'k2' });
    await world.settle();
    expect(world.link.asked).toEqual({ kind: 'continue', key: 'k2' });
    world.open({ kind: 'retry', generationId: 'g0', key: 'k3' });
    await world.settle();
    expect(world.link.asked).toEqual({ kind: 'retry', key: 'k3' });
  });

  it('goes on from the text that the caller has', async () => {
    const { sink } = world.open(attachFrom(`${GENERATION}:1.2`));
    await world.settle();
    expect(world.link.after).toBe('1.2');
    world.link.accept().write(frame(3, chunk('more')) + frame(4, END));
    await world.settle();
    expect(sink.calls).toEqual(['streaming', 'appended', 'ended', 'ended']);
  });

  it('takes all bytes as they are, however they are cut', async () => {
    const text = 'Grüße 👩‍🚀 — 你好\r\n"q" \\ ';
    const body = `\uFEFF${frame(1, START)}${frame(2, chunk(text))}: beat\n\n${frame(3, chunk('ö'))}${frame(4, END)}`;
    for (const variant of [body, body.replaceAll('\n', '\r\n'), body.replaceAll('\n', '\r')]) {
      const bytes = new TextEncoder().encode(variant);
      const { sink } = world.open(SEND);
      await world.settle();
      const link = world.link.accept();
      for (const byte of bytes) link.write(Uint8Array.of(byte));
      if (!variant.includes('\n')) link.write(': a bare return waits for what follows it\r');
      await world.settle();
      for (let i = 0; i < 40 && sink.end === null; i++) await world.settle();
      expect(sink.text).toBe(`${text}ö`);
      expect(sink.end?.status).toBe('completed');
    }
  });
});

describe('slots', () => {
  it('without one, it asks every second for what there is', async () => {
    world.slots = 0;
    const { sink } = world.open(SEND);
    await world.settle();
    world.link.accept().write(frame(1, START) + frame(2, chunk('a')));
    await world.pass(300);
    expect(world.links[0]?.aborted).toBe(true);
    for (const [seq, word] of [
      [3, 'b'],
      [4, 'c'],
    ] as const) {
      await world.pass(1_000);
      expect(world.link.after).toBe(`1.${seq - 1}`);
      world.link.accept().write(frame(seq, chunk(word)));
      await world.pass(300);
      expect(world.link.aborted).toBe(true);
    }
    await world.pass(1_000);
    world.link.accept();
    await world.pass(300);
    expect(world.link.aborted, 'nothing new is no reason to stay').toBe(true);
    expect(sink.text).toBe('abc');
    expect(sink.phases).toEqual(['sending', 'streaming']);
  });

  it('a busy answer does not keep a connection that has no slot', async () => {
    world.slots = 0;
    const { link, sink } = await world.begin();
    for (let seq = 3; seq < 10; seq++) {
      await world.pass(100);
      link.write(frame(seq, chunk('x')));
    }
    await world.settle();
    expect(link.aborted).toBe(true);
    expect(sink.text.length).toBeGreaterThan(8);
  });

  it('takes one as soon as there is one', async () => {
    world.slots = 0;
    await world.begin();
    await world.pass(600);
    world.slots = 1;
    await world.pass(1_000);
    expect(world.links).toHaveLength(2);
    world.link.accept().write(frame(3, chunk('live')));
    await world.pass(10_000);
    expect([world.links.length, world.slots]).toEqual([2, 0]);
  });

  it('a hidden tab gives it back after half a minute, and goes on when it is seen', async () => {
    const { sink, link } = await world.begin();
    world.device('hidden');
    for (let i = 0; i < 29; i++) {
      await world.pass(1_000);
      link.write(': heartbeat\n\n');
    }
    expect(world.slots).toBe(3);
    await world.pass(2_000);
    expect([world.slots, link.aborted]).toEqual([4, true]);
    await world.pass(10_000);
    expect(world.link.after, 'it still looks now and then').toBe('1.2');
    world.link.accept().write(frame(3, chunk('unseen ')));
    await world.pass(1_000);
    world.device('visible');
    await world.settle();
    expect([world.slots, world.link.after]).toEqual([3, '1.3']);
    world.link.accept().write(frame(4, chunk('seen')) + frame(5, END));
    await world.settle();
    expect(sink.text).toBe('Hello unseen seen');
  });
});

describe('a path that holds the answer back', () => {
  it('no headers for six seconds', async () => {
    const { sink } = world.open(SEND);
    await world.pass(5_900);
    expect(sink.phases).toEqual(['sending']);
    await world.pass(200);
    expect(sink.phases).toEqual(['sending', 'held']);
    world.link.accept().write(frame(1, START) + frame(2, chunk('all')) + frame(3, END));
    await world.settle();
    expect(sink.text).toBe('all');
  });

  it('no first event for six seconds', async () => {
    const { sink } = world.open(attachFrom(null));
    await world.settle();
    world.link.accept();
    await world.pass(6_100);
    expect(sink.phases.at(-1)).toBe('held');
  });

  it('a follower of a model that thinks is not held', async () => {
    const { sink } = world.open(attachFrom('1.2'));
    await world.settle();
    world.link.accept();
    await world.pass(14_000);
    expect(sink.phases).toEqual(['streaming']);
  });

  it('a long question gets the time to leave', async () => {
    const { sink } = world.open({ kind: 'send', body: { message: 'x'.repeat(80_000) }, key: 'k1' });
    await world.pass(15_900);
    expect(sink.phases).toEqual(['sending']);
    await world.pass(200);
    expect(sink.phases.at(-1)).toBe('held');
  });

  it('lumps after silence, twice; and no longer once it flows', async () => {
    const { sink, link } = await world.begin();
    let seq = 3;
    const lump = () => Array.from({ length: 20 }, () => frame(seq++, chunk('w '))).join('');
    for (const phase of ['streaming', 'held']) {
      await world.pass(4_000);
      link.write(lump());
      await world.settle();
      expect(sink.phases.at(-1)).toBe(phase);
    }
    await world.pass(300);
    link.write(frame(seq++, chunk('x')));
    await world.settle();
    expect(sink.phases.at(-1)).toBe('held');
    await world.pass(300);
    link.write(frame(seq++, chunk('x')));
    await world.settle();
    expect(sink.phases.at(-1)).toBe('streaming');
  });

  it('a model that pauses and goes on word by word is not held', async () => {
    const { sink, link } = await world.begin();
    for (let seq = 3; seq < 8; seq++) {
      await world.pass(5_000);
      link.write(frame(seq, chunk('w')));
    }
    await world.settle();
    expect(sink.phases.at(-1)).toBe('streaming');
  });
});

describe('detaching', () => {
  it('ends everything, and opening goes on', async () => {
    const { stream, sink, link } = await world.begin();
    stream.detach();
    expect(link.aborted).toBe(true);
    expect([world.slots, world.timers, world.listeners]).toEqual([4, 0, 0]);
    await world.pass(100_000);
    expect(world.links).toHaveLength(1);
    stream.open();
    await world.settle();
    world.link.accept().write(frame(3, chunk('world')) + frame(4, END));
    await world.settle();
    expect(sink.text).toBe('Hello world');
  });

  it('from inside a call loses nothing', async () => {
    class Shy extends Recorder {
      leave: () => void = () => undefined;
      override started(start: Parameters<Recorder['started']>[0]): void {
        super.started(start);
        this.leave();
      }
    }
    const sink = new Shy();
    const { stream } = world.open(SEND, sink);
    sink.leave = () => stream.detach();
    await world.settle();
    world.link.accept().write(frame(1, START) + frame(2, chunk('kept ')));
    await world.settle();
    expect(sink.calls.at(-1)).toBe('started');
    stream.open();
    await world.settle();
    expect(world.link.after).toBe('1.2');
    world.link.accept().write(frame(3, chunk('whole')) + frame(4, END));
    await world.settle();
    expect(sink.text).toBe('kept whole');
  });

  it('gives a slot back that comes too late', async () => {
    let grant: (release: (() => void) | null) => void = () => undefined;
    let given = 0;
    world.environment.claimSlot = () =>
      new Promise((resolve) => {
        grant = resolve;
      });
    const { stream } = world.open(SEND);
    await world.settle();
    stream.detach();
    grant(() => {
      given += 1;
    });
    await world.settle();
    expect(given).toBe(1);
  });

  it('of the same request in two tabs: each has the whole answer', async () => {
    const one = world.open(SEND);
    await world.settle();
    const first = world.link.accept();
    const two = world.open(attachFrom(null));
    await world.settle();
    const second = world.link.accept();
    const body = frame(1, START) + frame(2, chunk('both')) + frame(3, END);
    first.write(body);
    second.write(body);
    await world.settle();
    expect([one.sink.text, two.sink.text]).toEqual(['both', 'both']);
  });
});

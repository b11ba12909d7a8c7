import { describe, expect, test, vi } from 'vitest';
import { readHistory } from '$/state/history';
import { Older } from '$/state/older';
import type { Thread } from '$/state/thread.svelte';
import { threads } from '$/state/threads.svelte';
import { MessageTree, MOST_MESSAGES } from '$/state/tree.svelte';
import { server } from './fake';
import { accepted, chat, freshPage, ids, keys, opened, problem, settle } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const { signal } = new AbortController();

/** `q0 a0 q1 a1 …`, read four messages at a time. */
function long(turns: number): void {
  server.pageSize = 4;
  server.conversation('c1');
  for (let n = 0; n < turns; n += 1) {
    server.message('c1', `q${n}`);
    server.message('c1', `a${n}`);
  }
}

/** Has what precedes the shown messages read and shown. Says whether something came. */
async function older(thread: Thread, source = new Older(thread)): Promise<boolean> {
  const reading = source.read();
  await settle();
  const page = await reading;
  if (page !== null) thread.prepend(page);
  return page !== null;
}

const reads = () => server.count('listMessages c1');

describe('a long chat', () => {
  test('is shown as soon as its end is here; the rest comes page by page', async () => {
    long(5);
    const thread = await opened('c1');
    expect([thread.status, ids(thread), thread.cursor, reads()]).toEqual([
      'ready',
      ['q3', 'a3', 'q4', 'a4'],
      'a2',
      1,
    ]);
    const shown = [...thread.path];
    expect(await older(thread)).toBe(true);
    expect(ids(thread)).toEqual(['q1', 'a1', 'q2', 'a2', 'q3', 'a3', 'q4', 'a4']);
    expect(thread.path.slice(4), 'what was here stays').toEqual(shown);
    expect(await older(thread)).toBe(true);
    expect([ids(thread)[0], thread.path.length, thread.cursor]).toEqual(['q0', 10, null]);
    expect([await older(thread), reads()], 'there is nothing more').toEqual([false, 3]);
  });

  test('asked for twice at once, a page is read once', async () => {
    long(5);
    const thread = await opened('c1');
    const source = new Older(thread);
    const both = [source.read(), source.read()];
    await settle();
    const [one, other] = await Promise.all(both);
    expect([one === other, reads()]).toEqual([true, 2]);
  });

  test('read again, what is here already stays', async () => {
    long(5);
    const thread = await opened('c1');
    await older(thread);
    await older(thread);
    const before = keys(thread);
    server.message('c1', 'q5');
    server.message('c1', 'a5');
    await thread.reload();
    expect([keys(thread).slice(0, 10), ids(thread).slice(10), thread.cursor]).toEqual([
      before,
      ['q5', 'a5'],
      null,
    ]);
  });

  test('with more news than a page holds is read on until it meets what is here', async () => {
    long(3);
    const thread = await opened('c1');
    await older(thread);
    for (let n = 3; n < 7; n += 1) {
      server.message('c1', `q${n}`);
      server.message('c1', `a${n}`);
    }
    await thread.reload();
    expect([ids(thread)[0], thread.cursor]).toEqual(['q5', 'a4']);
    await older(thread);
    expect([ids(thread)[0], thread.path.length, thread.cursor]).toEqual(['q0', 14, null]);
  });

  test('takes in what precedes it while an answer is written', async () => {
    long(5);
    const thread = await opened('c1');
    const reading = new Older(thread).read();
    void thread.send('More?');
    await settle();
    const page = await reading;
    if (page) thread.prepend(page);
    expect(ids(thread).slice(0, 8)).toEqual(['q1', 'a1', 'q2', 'a2', 'q3', 'a3', 'q4', 'a4']);
    server.stream.sink.refused(problem(429, 'too_many'));
    expect(ids(thread), 'a refusal takes the echo back, and nothing else').toHaveLength(8);
    void thread.send('And now?');
    accepted('c1', 'q5', 'a5', 'g5', 'And now?');
    server.stream.start('c1', 'a5', 'g5');
    server.stream.sink.appended('text', 'Yes.');
    await older(thread);
    expect([ids(thread)[0], thread.running?.text]).toEqual(['q0', 'Yes.']);
  });

  test('of which a part can’t be read waits for the server, and not for a refusal', async () => {
    long(5);
    const thread = await opened('c1');
    server.fail('listMessages', problem(503, 'unavailable'));
    expect(await older(thread), 'the first attempt is repeated at once').toBe(true);
    server.fail('listMessages', problem(401, 'unauthenticated'));
    expect([await older(thread), thread.cursor, ids(thread).length]).toEqual([false, 'a0', 8]);
    threads.resume();
    await settle();
    expect([thread.cursor, await older(thread), thread.path.length]).toEqual(['a0', true, 10]);
  });

  test('that nobody looks at any more is not read on', async () => {
    long(5);
    const thread = await opened('c1');
    const source = new Older(thread);
    const arrive = server.hold('listMessages');
    const reading = source.read();
    source.stop();
    arrive();
    await settle();
    expect([await reading, await source.read(), ids(thread).length]).toEqual([null, null, 4]);
  });

  test('whose pages lead nowhere ends there', async () => {
    long(3);
    const thread = await opened('c1');
    server.messages.set('c1', server.messages.get('c1')?.slice(2) ?? []);
    await older(thread);
    expect([ids(thread)[0], thread.cursor]).toEqual(['q1', null]);
  });

  test('has another branch read to where both are one', async () => {
    long(6);
    server.message('c1', 'a0b', { parent_id: 'q0' });
    const thread = await opened('c1');
    expect([ids(thread), thread.cursor]).toEqual([['q0', 'a0b'], null]);
    thread.choose('a0');
    await vi.dynamicImportSettled();
    await settle();
    expect([ids(thread), thread.cursor]).toEqual([['q4', 'a4', 'q5', 'a5'], 'a3']);
    while (thread.cursor !== null) await older(thread);
    expect([thread.path.length, ids(thread).slice(0, 2)]).toEqual([12, ['q0', 'a0']]);
    expect(reads()).toBe(4);
    thread.choose('a0b');
    expect([ids(thread), thread.cursor], 'at once').toEqual([['q0', 'a0b'], null]);
  });

  test('of very many messages keeps the newest', async () => {
    for (const [count, cursor] of [
      [MOST_MESSAGES - 1, 'm0'],
      [MOST_MESSAGES, null],
    ] as const) {
      const conversation = server.conversation('c1');
      for (let n = 1; n <= count; n += 1) server.message('c1', `m${n}`, { parent_id: `m${n - 1}` });
      const messages = server.messages.get('c1') ?? [];
      const tree = new MessageTree();
      tree.merge({ conversation, pages: [{ messages, next_cursor: 'm0' }], gone: [] }, 0, null);
      expect([tree.path.length, tree.cursor]).toEqual([count, cursor]);
    }
  });
});

describe('what is written on another branch', () => {
  test('is found by its generation, and followed', async () => {
    chat();
    server.message('c1', 'a1b', { parent_id: 'q1c1', status: 'running', content: 'So', generation_id: 'g2' });
    Object.assign(server.row('c1'), { head_message_id: 'a1c1', generation_id: 'g2' });
    const { pages } = await readHistory('c1', [], signal);
    expect(pages.flatMap(({ messages }) => messages.map(({ id }) => id))).toEqual([
      'q1c1',
      'a1c1',
      'q1c1',
      'a1b',
    ]);
    server.calls = [];
    await readHistory('c1', null, signal);
    expect(server.count('getGeneration g2'), 'what is followed tells of itself').toBe(0);
  });

  test('and has ended meanwhile is shown as it ended', async () => {
    chat();
    const other = server.message('c1', 'a1b', { parent_id: 'q1c1', status: 'running', generation_id: 'g2' });
    Object.assign(server.row('c1'), { head_message_id: 'a1c1', generation_id: 'g2' });
    const thread = await opened('c1');
    await vi.dynamicImportSettled();
    await settle();
    expect(thread.running?.id).toBe('a1b');
    Object.assign(other, { status: 'completed', content: 'So it ends' });
    Object.assign(server.row('c1'), { generation_id: null });
    server.stream.sink.lost();
    await settle();
    const [, answer] = thread.path;
    const versions = answer ? thread.siblings(answer).map(({ text }) => text) : [];
    expect([thread.running, versions]).toEqual([null, ['text of a1c1', 'So it ends']]);
  });

  test('and is not there any more is forgotten', async () => {
    chat();
    expect((await readHistory('c1', ['lost'], signal)).gone).toEqual(['lost']);
  });
});

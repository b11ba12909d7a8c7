import { describe, expect, test, vi } from 'vitest';
import { NetworkError } from '$/api/errors';
import { subscribe } from '$/lib/sync';
import type { Thread } from '$/state/thread.svelte';
import { threads } from '$/state/threads.svelte';
import { toasts } from '$/state/toasts.svelte';
import { FakeChannel, server } from './fake';
import { accepted, chat, freshPage, ids, opened, problem, settle, toastTexts } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

/** A question with two answers, and a further turn after the first of them. */
async function versions(): Promise<Thread> {
  chat();
  server.message('c1', 'q2');
  server.message('c1', 'a2');
  server.message('c1', 'a1b', { parent_id: 'q1c1' });
  return opened('c1');
}

/** Until what is loaded with the first choice is there, and has been told of it. */
async function told(): Promise<void> {
  await vi.dynamicImportSettled();
  await settle();
}

function choose(thread: Thread, id: string): void {
  const shown = thread.path.flatMap((message) => thread.versions(message));
  if (!shown.includes(id)) throw new Error(`no ${id}`);
  thread.choose(id);
}

/** Goes to the other version and back: from then on both are here. */
async function seen(thread: Thread): Promise<void> {
  for (const id of ['a1c1', 'a1b']) {
    choose(thread, id);
    await told();
  }
  server.calls = [];
}

const choices = () => server.calls.filter((call) => call.startsWith('chooseBranch'));
const head = () => server.row('c1').head_message_id;

describe('a chosen version', () => {
  test('is shown at once to its end, and kept by the server', async () => {
    const thread = await versions();
    await seen(thread);
    expect(ids(thread)).toEqual(['q1c1', 'a1b']);
    const release = server.hold('chooseBranch');
    choose(thread, 'a1c1');
    expect(ids(thread), 'before the server has heard of it').toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
    await told();
    release();
    await settle();
    expect(head()).toBe('a2');
    threads.reset();
    expect(ids(await opened('c1')), 'after a reload').toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
  });

  test('that was not here yet is read first, and what is shown stays until then', async () => {
    const thread = await versions();
    const arrive = server.hold('listMessages');
    choose(thread, 'a1c1');
    await told();
    expect([ids(thread), choices()]).toEqual([['q1c1', 'a1b'], []]);
    arrive();
    await told();
    expect([...ids(thread), head()]).toEqual(['q1c1', 'a1c1', 'q2', 'a2', 'a2']);
    expect(thread.path[0]?.key, 'nothing that stays is drawn anew').toBe('q1c1');
  });

  test('that can’t be read is said, and can be chosen again', async () => {
    const thread = await versions();
    server.fail('listMessages', problem(500, 'odd'));
    choose(thread, 'a1c1');
    await told();
    expect([ids(thread), choices()]).toEqual([['q1c1', 'a1b'], []]);
    expect(toastTexts()).toEqual(['That version could not be shown. detail of odd']);
    choose(thread, 'a1c1');
    await told();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
  });

  test('that is on its way is given up for another one, and for a question', async () => {
    const thread = await versions();
    const arrive = server.hold('listMessages');
    choose(thread, 'a1c1');
    await told();
    void thread.send('More?');
    arrive();
    await told();
    expect([ids(thread).slice(0, 2), choices()]).toEqual([['q1c1', 'a1b'], []]);
  });

  test('whose end is another one by now is shown to that when the page looks again', async () => {
    const thread = await versions();
    await seen(thread);
    server.message('c1', 'q2b', { parent_id: 'a1c1' });
    server.message('c1', 'a2b', { parent_id: 'q2b' });
    server.row('c1').head_message_id = 'a1b';
    await thread.reload();
    choose(thread, 'a1c1');
    await told();
    await thread.check();
    expect([...ids(thread), head()]).toEqual(['q1c1', 'a1c1', 'q2b', 'a2b', 'a2b']);
    const [, , further] = thread.path;
    expect(further && thread.versions(further)).toEqual(['q2', 'q2b']);
  });

  test('is told to other tabs, which show it too', async () => {
    const thread = await versions();
    const other = new FakeChannel('gpt-r1');
    const heard: unknown[] = [];
    other.addEventListener('message', (event) => heard.push((event as MessageEvent).data));
    choose(thread, 'a1c1');
    await told();
    expect(heard).toContainEqual({ type: 'conversation', id: 'c1', change: 'chosen' });
    // The other way round: chosen elsewhere.
    server.row('c1').head_message_id = 'a1b';
    const stop = subscribe(() => undefined);
    other.postMessage({ type: 'conversation', id: 'c1', change: 'chosen' });
    await settle();
    stop();
    expect(ids(thread)).toEqual(['q1c1', 'a1b']);
  });

  test('of several in a hurry the last one counts, one request at a time', async () => {
    const thread = await versions();
    await seen(thread);
    const release = server.hold('chooseBranch');
    choose(thread, 'a1c1');
    choose(thread, 'a1b');
    choose(thread, 'a1c1');
    choose(thread, 'a1b');
    await told();
    expect(choices()).toEqual(['chooseBranch a1c1']);
    release();
    await settle();
    expect(choices()).toEqual(['chooseBranch a1c1', 'chooseBranch a1b']);
    expect([head(), ...ids(thread)]).toEqual(['a1b', 'q1c1', 'a1b']);
  });

  test('that was not kept is tried again without a word, and stays in sight', async () => {
    const thread = await versions();
    server.fail('chooseBranch', new NetworkError('gone'));
    choose(thread, 'a1c1');
    await told();
    // The first one is repeated at once, later ones wait.
    server.fail('chooseBranch', problem(503, 'unavailable'));
    await vi.advanceTimersByTimeAsync(5_000);
    await thread.reload();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([head(), toastTexts().length]).toEqual(['a2', 0]);
  });

  test('that the server refuses is not asked for again', async () => {
    const thread = await versions();
    server.fail('chooseBranch', problem(422, 'invalid'));
    choose(thread, 'a1c1');
    await told();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(choices()).toHaveLength(1);
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
  });

  test('waits for the next sign-in', async () => {
    const thread = await versions();
    server.fail('chooseBranch', problem(401, 'unauthenticated'));
    choose(thread, 'a1c1');
    await told();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(choices()).toHaveLength(1);
    threads.resume();
    await settle();
    expect(head()).toBe('a2');
  });

  test('is shown though an answer is written on another branch', async () => {
    chat();
    server.message('c1', 'a1b', {
      parent_id: 'q1c1',
      status: 'running',
      content: 'So',
      generation_id: 'g2',
      last_event_id: 'g2:1.2',
    });
    Object.assign(server.row('c1'), { head_message_id: 'a1c1', generation_id: 'g2' });
    const thread = await opened('c1');
    await told();
    expect([...ids(thread), thread.running?.id]).toEqual(['q1c1', 'a1c1', 'a1b']);
  });

  test('gives way to what is asked after it', async () => {
    const thread = await versions();
    await seen(thread);
    const release = server.hold('chooseBranch');
    choose(thread, 'a1c1');
    await told();
    void thread.send('More?');
    accepted('c1', 'q3', 'a3', 'g3', 'More?');
    server.stream.start('c1', 'a3', 'g3');
    release();
    await settle();
    expect(head(), 'the older choice came last to the server').toBe('a3');
    server.stream.end();
    await thread.reload();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2', 'q3', 'a3']);
  });
});

describe('a new answer in mid-chat', () => {
  test('says where the turns after the old one are, and leads back', async () => {
    chat();
    server.message('c1', 'q2');
    server.message('c1', 'a2');
    const thread = await opened('c1');
    const old = thread.path[1];
    if (!old) throw new Error('no answer');
    thread.retry(old);
    expect(toastTexts(), 'not before it was accepted').toEqual([]);
    server.message('c1', 'a1b', { parent_id: 'q1c1', status: 'running', generation_id: 'g2' });
    server.stream.start('c1', 'a1b', 'g2');
    await vi.dynamicImportSettled();
    expect(toastTexts()).toEqual(['The turns after it are kept with version 1 of 2.']);
    toasts.items[0]?.action?.run();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
    await told();
    expect(head()).toBe('a2');
  });

  test('has nothing to say at the end of a chat, nor where it is refused', async () => {
    chat();
    server.message('c1', 'q2');
    server.message('c1', 'a2');
    const thread = await opened('c1');
    const [, first, , last] = thread.path;
    if (!first || !last) throw new Error('no answers');
    thread.retry(first);
    server.stream.sink.refused(problem(429, 'too_many'));
    thread.retry(last);
    server.message('c1', 'a2b', { parent_id: 'q2', status: 'running', generation_id: 'g2' });
    server.stream.start('c1', 'a2b', 'g2');
    await vi.dynamicImportSettled();
    expect(toastTexts().filter((text) => text.includes('kept'))).toEqual([]);
  });
});

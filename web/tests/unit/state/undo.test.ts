import { describe, expect, test, vi } from 'vitest';
import { navigate, router } from '$/lib/router.svelte';
import { conversations } from '$/state/conversations.svelte';
import { threads } from '$/state/threads.svelte';
import { FakeChannel, server } from './fake';
import { accepted, chat, freshPage, ids, opened, problem, settle, toastTexts } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const listed = () => conversations.items.map((item) => item.id);
const deletions = () => server.calls.filter((call) => call.startsWith('deleteConversation'));
const otherTab = () => new FakeChannel('gpt-r1');

/** An open chat that was deleted a moment ago: the page is at a new one. */
async function deletedFromHeader() {
  chat('x');
  await conversations.refresh();
  navigate('/c/x');
  const thread = await opened('x');
  conversations.remove('x');
  await opened(null);
  expect([router.path, listed(), toastTexts().length]).toEqual(['/', [], 1]);
  return thread;
}

describe('a chat that waits for Undo', () => {
  test('stays when it is gone back to, and can be asked in', async () => {
    const thread = await deletedFromHeader();
    navigate('/c/x');
    expect(await opened('x')).toBe(thread);
    expect([listed(), toastTexts()]).toEqual([['x'], []]);
    void thread.send('Still there?');
    accepted('x', 'q2', 'a2', 'g2', 'Still there?');
    server.stream.start('x', 'a2', 'g2');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(deletions()).toEqual([]);
    expect(ids(thread).length).toBe(4);
  });

  test('stays when another tab opens it, and when another tab asks in it', async () => {
    for (const change of ['opened', 'asked']) {
      await deletedFromHeader();
      otherTab().postMessage({ type: 'conversation', id: 'x', change });
      await settle();
      expect([listed(), toastTexts(), router.path]).toEqual([['x'], [], '/']);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    expect(deletions()).toEqual([]);
  });

  test('is deleted all the same when something else happens to it, or another chat is opened', async () => {
    await deletedFromHeader();
    chat('y');
    await opened('y');
    otherTab().postMessage({ type: 'conversation', id: 'x', change: 'ended' });
    otherTab().postMessage({ type: 'conversation', id: 'y', change: 'opened' });
    await vi.advanceTimersByTimeAsync(6000);
    expect(deletions()).toEqual(['deleteConversation x']);
  });

  test('can be deleted again after that', async () => {
    await deletedFromHeader();
    await opened('x');
    conversations.remove('x');
    await opened(null);
    await vi.advanceTimersByTimeAsync(6000);
    expect(deletions()).toEqual(['deleteConversation x']);
    expect(listed()).toEqual([]);
  });
});

test('opening a chat tells the other tabs, which need not ask the server for that', async () => {
  chat('x');
  const heard = vi.fn();
  otherTab().addEventListener('message', (message) => heard((message as MessageEvent).data));
  await opened('x');
  expect(heard).toHaveBeenCalledWith({ type: 'conversation', id: 'x', change: 'opened' });
  server.calls = [];
  otherTab().postMessage({ type: 'conversation', id: 'x', change: 'opened' });
  await settle();
  expect(server.calls).toEqual([]);
});

describe('a deletion that is finished', () => {
  test('shows in the thread that was gone back to too late', async () => {
    const thread = await deletedFromHeader();
    const answer = server.hold('deleteConversation');
    await vi.advanceTimersByTimeAsync(6000);
    await opened('x');
    expect(thread.status, 'nobody knows yet').toBe('ready');
    answer();
    await settle();
    expect(thread.status).toBe('missing');
  });

  test('gives a question back that was on its way', async () => {
    const thread = await deletedFromHeader();
    const answer = server.hold('deleteConversation');
    await vi.advanceTimersByTimeAsync(6000);
    await opened('x');
    void thread.send('Precious');
    answer();
    await settle();
    expect(thread.status).toBe('ready');
    for (const call of ['getConversation', 'listMessages']) server.fail(call, problem(404, 'not_found'));
    server.stream.sink.refused(problem(404, 'not_found'));
    await settle();
    expect([thread.refusal?.text, thread.status]).toEqual(['Precious', 'missing']);
    expect(threads.open('x')).toBe(thread);
  });
});

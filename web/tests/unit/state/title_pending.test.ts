import { describe, expect, test, vi } from 'vitest';
import { conversations } from '$/state/conversations.svelte';
import { at, FakeChannel, server } from './fake';
import { accepted, freshPage, opened, see, settle } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const listed = () => server.count('listConversations');

/** A chat whose first answer has just ended here. */
async function answered(pending: boolean) {
  const thread = await opened(null);
  void thread.send('How high do trees grow?');
  await settle();
  server.conversation('c1', { title: 'How high do trees grow?' });
  accepted('c1', 'q1', 'a1', 'g1', 'How high do trees grow?');
  server.stream.start('c1', 'a1', 'g1');
  await settle();
  Object.assign(server.row('c1'), { generation_id: null, title_pending: pending });
  server.stream.end();
  await settle();
  return thread;
}

describe('a chat that gets its title from a model', () => {
  test('shows it soon after the end of its first answer', async () => {
    const thread = await answered(true);
    expect(thread.title).toBe('How high do trees grow?');
    await vi.advanceTimersByTimeAsync(1000);
    expect(thread.title).toBe('How high do trees grow?');
    Object.assign(server.row('c1'), { title: 'Tree heights', title_pending: false });
    await vi.advanceTimersByTimeAsync(2000);
    expect([thread.title, conversations.items[0]?.title]).toEqual(['Tree heights', 'Tree heights']);
    const asked = listed();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(listed()).toBe(asked);
  });

  test('is not waited for where none is on its way', async () => {
    await answered(false);
    const asked = listed();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(listed()).toBe(asked);
  });

  test('a second answer asks for nothing', async () => {
    const thread = await answered(false);
    void thread.send('And shrubs?');
    await settle();
    accepted('c1', 'q2', 'a2', 'g2', 'And shrubs?');
    server.stream.start('c1', 'a2', 'g2');
    await settle();
    const asked = listed();
    server.row('c1').generation_id = null;
    server.stream.end();
    await settle();
    expect(listed()).toBe(asked);
  });

  test('is asked for ever more seldom, and not at all while nobody looks', async () => {
    server.conversation('c1', { title_pending: true });
    await conversations.refresh();
    await vi.advanceTimersByTimeAsync(1000 + 2000 + 4000 + 8000);
    expect(listed()).toBe(5);
    await vi.advanceTimersByTimeAsync(3 * 8000);
    expect(listed()).toBe(8);
    see(false);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(listed()).toBe(8);
    see(true);
    await settle();
    expect(listed()).toBe(9);
  });

  test('shows it in another tab too', async () => {
    server.conversation('c1', { title: 'First words' });
    await conversations.refresh();
    server.row('c1').title_pending = true;
    new FakeChannel('gpt-r1').postMessage({ type: 'conversation', id: 'c1', change: 'ended' });
    await settle();
    Object.assign(server.row('c1'), { title: 'A title', title_pending: false, updated_at: at(1) });
    await vi.advanceTimersByTimeAsync(1000);
    expect(conversations.items[0]?.title).toBe('A title');
  });

  test('a name that is given meanwhile stays in sight', async () => {
    const thread = await answered(true);
    const renamed = server.hold('renameConversation');
    void conversations.rename('c1', 'Mine');
    Object.assign(server.row('c1'), { title: 'A title', title_pending: false });
    await vi.advanceTimersByTimeAsync(1000);
    expect(thread.title).toBe('Mine');
    renamed();
    await settle();
    expect(thread.title).toBe('Mine');
  });
});

import { describe, expect, test, vi } from 'vitest';
import { router } from '$/lib/router.svelte';
import { conversations } from '$/state/conversations.svelte';
import { toasts } from '$/state/toasts.svelte';
import { at, FakeChannel, server } from './fake';
import { freshPage, opened, problem, see, settle, toastTexts } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const titles = () => conversations.items.map((item) => item.title);
const day = 24 * 60;

describe('the list of chats', () => {
  test('is newest first, grouped by the day', async () => {
    for (const [id, minutes] of [
      ['a', 20],
      ['b', -day],
      ['c', -3 * day],
      ['d', -20 * day],
      ['e', -60 * day],
    ] as const) {
      server.conversation(id, { updated_at: at(minutes) });
    }
    await conversations.refresh();
    expect(conversations.groups.map((group) => [group.key, ...group.items.map((item) => item.id)])).toEqual([
      ['today', 'a'],
      ['yesterday', 'b'],
      ['week', 'c'],
      ['month', 'd'],
      ['2026-01', 'e'],
    ]);
    expect(conversations.groups.map((group) => group.label)).toContain('January 2026');
  });

  test('moves to other groups at midnight', async () => {
    server.conversation('a', { updated_at: at(20) });
    await conversations.refresh();
    expect(conversations.groups[0]?.key).toBe('today');
    await vi.advanceTimersByTimeAsync(day * 60_000);
    expect(conversations.groups[0]?.key).toBe('yesterday');
  });

  test('comes in pages, none of them twice', async () => {
    server.pageSize = 2;
    for (const [n, id] of ['a', 'b', 'c', 'd', 'e'].entries())
      server.conversation(id, { updated_at: at(-n) });
    await conversations.refresh();
    expect(titles()).toEqual(['Chat a', 'Chat b']);
    await conversations.loadMore();
    // A refresh doesn't lose the place in the list.
    await conversations.refresh();
    await conversations.loadMore();
    expect(titles()).toEqual(['Chat a', 'Chat b', 'Chat c', 'Chat d', 'Chat e']);
    expect(conversations.hasMore).toBe(false);
  });

  test('drops what was deleted elsewhere, and only that', async () => {
    server.pageSize = 2;
    for (const [n, id] of ['a', 'b', 'c', 'd'].entries()) server.conversation(id, { updated_at: at(-n) });
    await conversations.refresh();
    await conversations.loadMore();
    server.rows.delete('a');
    await conversations.refresh();
    expect(titles()).toEqual(['Chat b', 'Chat c', 'Chat d']);
  });

  test('an answer that was asked for before a change does not undo it', async () => {
    server.conversation('a');
    await conversations.refresh();
    const answer = server.hold('listConversations');
    const refreshed = conversations.refresh();
    conversations.upsert({ id: 'new', title: 'New', updated_at: at(29), generation_id: 'g1' });
    conversations.upsert({ id: 'a', title: 'Newer title' });
    answer();
    await refreshed;
    expect(titles()).toEqual(['New', 'Newer title']);
  });

  test('takes no chat in of which only a part is known', () => {
    conversations.upsert({ id: 'unknown', generation_id: null });
    expect(titles()).toEqual([]);
  });

  test('asked for while it is on its way, it is asked for once more', async () => {
    const answer = server.hold('listConversations');
    const both = [conversations.refresh(), conversations.refresh(), conversations.refresh()];
    server.conversation('late');
    answer();
    await Promise.all(both);
    expect(titles()).toEqual(['Chat late']);
    expect(server.count('listConversations')).toBe(2);
  });

  test('says why it cannot be loaded, and keeps what it has', async () => {
    server.fail('listConversations', problem(500, 'odd'));
    await conversations.refresh();
    expect([conversations.status, conversations.error]).toEqual(['failed', 'detail of odd']);
    server.conversation('a');
    await conversations.refresh();
    server.fail('listConversations', problem(500, 'odd'));
    await conversations.refresh();
    expect([conversations.status, titles()]).toEqual(['ready', ['Chat a']]);
  });

  test('what was asked for before a reset is not for the next user', async () => {
    server.conversation('a');
    const answer = server.hold('listConversations');
    const refreshed = conversations.refresh();
    conversations.reset();
    answer();
    await refreshed;
    expect([conversations.status, titles()]).toEqual(['idle', []]);
  });

  test('is asked again when another tab has changed something', async () => {
    await conversations.refresh();
    server.conversation('a');
    new FakeChannel('gpt-r1').postMessage({ type: 'conversation', id: 'a', change: 'asked' });
    await settle();
    expect(titles()).toEqual(['Chat a']);
  });
});

describe('a chat that is answered in the background', () => {
  test('is watched, and unread when its answer is done', async () => {
    server.conversation('a', { generation_id: 'g1' });
    await conversations.refresh();
    await vi.advanceTimersByTimeAsync(3000);
    expect(server.count('listConversations')).toBe(2);
    expect(conversations.find('a')?.unread).toBe(false);
    server.row('a').generation_id = null;
    await vi.advanceTimersByTimeAsync(3000);
    expect(conversations.find('a')?.unread).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.count('listConversations')).toBe(3);
    conversations.setOpen('a');
    expect(conversations.find('a')?.unread).toBe(false);
  });

  test('is not watched while it is open, or nobody looks, or nobody is signed in', async () => {
    server.conversation('a', { generation_id: 'g1' });
    await conversations.refresh();
    conversations.setOpen('a');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.count('listConversations')).toBe(1);
    conversations.setOpen(null);
    see(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.count('listConversations')).toBe(1);
    see(true);
    await settle();
    expect(server.count('listConversations')).toBe(2);
    server.fail('listConversations', problem(401, 'unauthenticated'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.count('listConversations')).toBe(3);
  });
});

describe('renaming', () => {
  test('shows the title at once', async () => {
    server.conversation('a');
    await conversations.refresh();
    const answer = server.hold('renameConversation');
    const renamed = conversations.rename('a', '  Better  ');
    expect(titles()).toEqual(['Better']);
    // A list that doesn't know of it yet changes nothing.
    await conversations.refresh();
    answer();
    await renamed;
    expect(titles()).toEqual(['Better']);
  });

  test('is taken back, and said, when the server refuses', async () => {
    server.conversation('a');
    await conversations.refresh();
    server.fail('renameConversation', problem(422, 'odd'));
    await conversations.rename('a', 'Bad');
    expect(titles()).toEqual(['Chat a']);
    expect(toastTexts()[0]).toContain('detail of odd');
  });

  test('of two on their way the newer one stays, and goes back to the older', async () => {
    server.conversation('a');
    await conversations.refresh();
    const answer = server.hold('renameConversation');
    const first = conversations.rename('a', 'First');
    server.fail('renameConversation', problem(500, 'odd'));
    const second = conversations.rename('a', 'Second');
    expect(titles()).toEqual(['Second']);
    answer();
    await Promise.all([first, second]);
    expect(titles()).toEqual(['First']);
  });
});

describe('deleting', () => {
  test('hides at once, deletes when the toast has gone', async () => {
    server.conversation('a');
    await conversations.refresh();
    conversations.remove('a');
    expect(titles()).toEqual([]);
    expect(toastTexts()[0]).toContain('Chat a');
    await vi.advanceTimersByTimeAsync(5999);
    expect(server.count('deleteConversation a')).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.count('deleteConversation a')).toBe(1);
    expect(toastTexts()).toEqual([]);
  });

  test('undone, nothing was ever asked of the server', async () => {
    server.conversation('a');
    await opened('a');
    const { navigate } = await import('$/lib/router.svelte');
    navigate('/c/a');
    conversations.remove('a');
    expect(router.path).toBe('/');
    toasts.items[0]?.action?.run();
    expect(router.path).toBe('/c/a');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(titles()).toEqual(['Chat a']);
    expect(server.calls.some((call) => call.startsWith('deleteConversation'))).toBe(false);
  });

  test('is carried out when the page goes away, by a request that outlives it', async () => {
    server.conversation('a');
    await conversations.refresh();
    conversations.remove('a');
    window.dispatchEvent(new Event('pagehide'));
    expect(server.count('deleteConversation a keepalive')).toBe(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.calls.filter((call) => call.startsWith('deleteConversation'))).toHaveLength(1);
    expect(toastTexts()).toEqual([]);
  });

  test('refused, the chat is back and a toast says why', async () => {
    server.conversation('a');
    await conversations.refresh();
    conversations.remove('a');
    server.fail('deleteConversation', problem(503, 'odd'));
    await conversations.flush();
    expect(titles()).toEqual(['Chat a']);
    expect(toastTexts()[0]).toContain('detail of odd');
  });

  test('what is gone already is deleted', async () => {
    server.conversation('a');
    await conversations.refresh();
    conversations.remove('a');
    server.fail('deleteConversation', problem(404, 'not_found'));
    await conversations.flush();
    expect(titles()).toEqual([]);
    expect(toastTexts()).toEqual([]);
  });

  test('a list that was asked for before does not bring it back', async () => {
    server.conversation('a');
    await conversations.refresh();
    const answer = server.hold('listConversations');
    const refreshed = conversations.refresh();
    conversations.remove('a');
    await conversations.flush();
    answer();
    await refreshed;
    expect(titles()).toEqual([]);
  });
});

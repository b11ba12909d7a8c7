import { expect, test, vi } from 'vitest';
import { conversations } from '$/state/conversations.svelte';
import { keepDraft } from '$/state/drafts';
import { threads } from '$/state/threads.svelte';
import { unfinishedChat } from '$/state/unfinished';
import { server } from './fake';
import { freshPage, opened } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

test('nothing, a draft, and before it the chat whose answer was stopped', async () => {
  for (const id of ['c1', 'c2', 'c3']) server.conversation(id);
  server.message('c1', 'q1');
  server.message('c1', 'a1');
  await conversations.refresh();
  const thread = await opened('c1');
  await opened(null);
  expect(unfinishedChat()).toBeNull();
  keepDraft('new', 'belongs to no chat');
  keepDraft('deleted', 'of a chat that is gone');
  expect(unfinishedChat()).toBeNull();
  keepDraft('c2', 'one');
  keepDraft('c3', 'two');
  expect(unfinishedChat()?.id).toBe('c3');
  keepDraft('c3', '');
  expect(unfinishedChat()?.id).toBe('c2');
  for (const message of thread.path) message.status = 'stopped';
  expect(unfinishedChat()?.id).toBe('c1');
  threads.reset();
  expect(unfinishedChat()?.id).toBe('c2');
});

import { type Conversation, listMessages, type MessagePage } from '$/api/client';
import { conversations, generationOf, readConversation } from './conversations.svelte';

/** The most that a page holds. */
const PAGE = 200;

export interface History {
  conversation: Conversation;
  /** The newest page of the branch that the server shows; then, from elsewhere, what has to be known all the same. */
  pages: readonly MessagePage[];
  /** Messages that were asked for and are not there. */
  gone: readonly string[];
}

/** A page of one branch, oldest first; without a cursor its newest page. `path`: `head`, or a message on it. */
export function readBranch(
  id: string,
  path: string,
  { cursor = '', signal }: { cursor?: string; signal: AbortSignal },
): Promise<MessagePage> {
  return listMessages(id, { path, ...(cursor === '' ? {} : { cursor }), limit: PAGE, signal });
}

/**
 * Reads a conversation and the end of the branch that is shown. Rejects as the API does. What the list of chats has is asked
 * for at once; of anything else it is found out first whether it exists: asking for its messages could be an error.
 *
 * The answer that is being written may be on another branch, and those that this page takes for being written (`live`) may
 * have ended there: they are read too. `live` is null where the page follows what is being written.
 */
export async function readHistory(
  id: string,
  live: readonly string[] | null,
  signal: AbortSignal,
): Promise<History> {
  const found = readConversation(id, signal);
  if (!conversations.find(id)) await found;
  let [conversation, newest] = await Promise.all([found, readBranch(id, 'head', { signal })]);
  const head = conversation.head_message_id ?? null;
  // Both were asked at once: a turn that came in between is in one of them only.
  if (head !== null && !holds(newest, head)) newest = await readBranch(id, 'head', { signal });
  const history: History = { conversation, pages: [newest], gone: [] };
  const running = generationOf(conversation);
  const isHere = running === null || newest.messages.some((row) => row.generation_id === running);
  const aside = live?.filter((message) => !holds(newest, message));
  if (!aside || (isHere && aside.length === 0)) return history;
  return (await import('./aside')).withAside(history, isHere ? null : running, aside, signal);
}

export function holds(page: MessagePage, message: string): boolean {
  return page.messages.some((row) => row.id === message);
}

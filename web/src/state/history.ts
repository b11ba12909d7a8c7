import { type Conversation, listMessages, type Message } from '$/api/client';
import { conversations, readConversation } from './conversations.svelte';

/** The most that a page holds. */
const PAGE = 200;
/** Most messages kept: of a longer chat the newest. */
export const MOST_MESSAGES = 10_000;

export interface History {
  conversation: Conversation;
  /** Oldest first, all branches. */
  messages: Message[];
}

async function readMessages(id: string, signal: AbortSignal): Promise<Message[]> {
  let messages: Message[] = [];
  const cursors = new Set<string>();
  let cursor: string | undefined;
  for (;;) {
    const page = await listMessages(id, { ...(cursor ? { cursor } : {}), limit: PAGE, signal });
    messages = messages.concat(page.messages);
    if (messages.length > MOST_MESSAGES) messages = messages.slice(-MOST_MESSAGES);
    const next = page.next_cursor ?? null;
    if (next === null) return messages;
    // A cursor that comes back would be followed for ever.
    if (cursors.has(next)) throw new Error(`the list of messages repeats its cursor ${next}`);
    cursors.add(next);
    cursor = next;
  }
}

/**
 * Reads a conversation and all its messages. Rejects as the API does. What the list of chats has is asked for at once;
 * of anything else it is found out first whether it exists: asking for its messages could be an error.
 */
export async function readHistory(id: string, signal: AbortSignal): Promise<History> {
  const found = readConversation(id, signal);
  if (!conversations.find(id)) await found;
  const [conversation, messages] = await Promise.all([found, readMessages(id, signal)]);
  const head = conversation.head_message_id ?? null;
  // Both were asked at once: a turn that came in between is in one of them only.
  if (head === null || messages.some((message) => message.id === head)) return { conversation, messages };
  return { conversation, messages: await readMessages(id, signal) };
}

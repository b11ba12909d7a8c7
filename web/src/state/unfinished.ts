import { type ConversationItem, conversations } from './conversations.svelte';
import { draftKeys } from './drafts';
import { threads } from './threads.svelte';

/**
 * The chat that somebody left in the middle of something, or null: the last one here whose answer was stopped or
 * interrupted, else the one with the newest question that was not sent. Only what this page knows already counts.
 */
export function unfinishedChat(): ConversationItem | null {
  const listed = (id: string | null) => conversations.items.find((item) => item.id === id);
  for (const thread of threads.kept.toReversed()) {
    const status = thread.path.at(-1)?.status;
    const item = status === 'stopped' || status === 'interrupted' ? listed(thread.conversationId) : undefined;
    if (item) return item;
  }
  for (const key of draftKeys().reverse()) {
    const item = listed(key);
    if (item) return item;
  }
  return null;
}

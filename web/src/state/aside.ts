import { getGeneration, type MessagePage } from '$/api/client';
import { ApiError } from '$/api/errors';
import { type History, holds, readBranch } from './history';

/**
 * Reads messages that are not at the end of the shown branch, on whatever branch they are: that of a running generation, and
 * `messages`. It is rare: the file is loaded when it is needed.
 */
export async function withAside(
  { conversation, pages: shown }: History,
  running: string | null,
  messages: readonly string[],
  signal: AbortSignal,
): Promise<History> {
  const { id } = conversation;
  const generation = running === null ? null : await orNull(getGeneration(running, { signal }));
  const pages: MessagePage[] = [];
  const gone: string[] = [];
  for (const message of new Set(generation ? [...messages, generation.message_id] : messages)) {
    if (pages.some((page) => holds(page, message))) continue;
    const found = await orNull(readDownTo(id, message, signal));
    if (found === null) gone.push(message);
    else pages.push(...found);
  }
  return { conversation, pages: [...shown, ...pages], gone };
}

/** The branch through a message, from its end to that message: mostly one page, as an answer that is written is the end. */
async function readDownTo(id: string, message: string, signal: AbortSignal): Promise<MessagePage[]> {
  const pages: MessagePage[] = [];
  const cursors = new Set<string>();
  for (let cursor = ''; ; ) {
    const page = await readBranch(id, message, { cursor, signal });
    pages.push(page);
    const next = page.next_cursor ?? null;
    // A cursor that comes back would be followed for ever.
    if (next === null || cursors.has(next) || holds(page, message)) return pages;
    cursors.add(next);
    cursor = next;
  }
}

/** What is asked for; null where there is no such thing. */
async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

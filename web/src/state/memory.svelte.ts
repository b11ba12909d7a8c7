import { untrack } from 'svelte';
import { getGeneration } from '$/api/client';
import type { MessageView } from './message.svelte';
import type { Thread } from './thread.svelte';

interface Answer {
  readonly id: string;
  readonly role: string;
  readonly live: boolean;
  readonly remembersFrom: string | null;
}

/** The message of a branch with which the memory of its newest finished answer begins, where others stand before it. */
export function memoryFrom<A extends Answer>(branch: readonly A[]): A | null {
  const newest = branch.findLast((message) => message.role === 'assistant' && !message.live);
  const from = newest?.remembersFrom;
  const at = from ? branch.findIndex((message) => message.id === from) : -1;
  return (at > 0 && branch[at]) || null;
}

/**
 * Asks what its model was given whenever an answer of a chat has ended: its stream does not tell. Call it while a component
 * is made. What can't be known now is not worth a word: the next look at the chat shows it.
 */
export function followMemory(thread: Pick<Thread, 'running' | 'path'>): void {
  let written: MessageView | null = null;
  $effect(() => {
    const { running } = thread;
    const ended = written;
    written = running;
    if (ended !== null && ended !== running && !ended.live) untrack(() => void ask(ended, thread.path));
  });
}

async function ask(answer: MessageView, branch: readonly MessageView[]): Promise<void> {
  const generation = answer.generationId;
  const at = branch.indexOf(answer);
  // Of its question alone nothing can have been left out. What precedes the branch may be on its way.
  if (generation === null || at < 0 || (at < 2 && branch[0]?.parentId === null)) return;
  const told = await getGeneration(generation).catch(() => null);
  if (told !== null && answer.generationId === generation) answer.remembersFrom = told.remembers_from ?? null;
}

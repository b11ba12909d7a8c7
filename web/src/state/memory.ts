import { getGeneration } from '$/api/client';
import type { MessageView } from './message.svelte';

/**
 * Asks what the model of an answer that has just ended on `branch` was given: its stream does not tell. Nor is it worth a
 * word when it can't be known; the next look at the chat shows it.
 */
export async function remember(answer: MessageView, branch: readonly MessageView[]): Promise<void> {
  const generation = answer.generationId;
  // Of its question alone nothing can have been left out.
  if (generation === null || branch.indexOf(answer) < 2) return;
  const told = await getGeneration(generation).catch(() => null);
  if (told !== null && answer.generationId === generation) answer.remembersFrom = told.remembers_from ?? null;
}

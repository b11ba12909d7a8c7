import type { Message } from '$/api/client';
import { MessageView } from './message.svelte';

export interface MergeRules {
  /** The view is ahead of what was read: it is being streamed, or changed after the question was asked. */
  ahead(view: MessageView): boolean;
}

/**
 * Brings the views up to what the server has said. It says it of some of the messages: the others stay as they are. A view
 * stays the same object (and keeps its key), so that nothing that is shown is drawn anew; an echo that nobody accepted goes.
 */
export function mergeMessages(
  views: readonly MessageView[],
  rows: readonly Message[],
  rules: MergeRules,
): MessageView[] {
  const rowOf = new Map(rows.map((row) => [row.id, row]));
  adoptQuestions(views, rowOf);
  const viewOf = new Map(views.map((view) => [view.id, view]));
  const merged: MessageView[] = [];
  for (const row of rows) {
    const view = viewOf.get(row.id);
    if (!view) {
      merged.push(MessageView.of(row));
      continue;
    }
    merged.push(view);
    if (!rules.ahead(view)) view.take(row);
  }
  const others = views.filter((view) => !rowOf.has(view.id));
  const kept = others.filter((view) => view.stored || rules.ahead(view));
  const parents = new Set(kept.map((view) => view.parentId));
  // The question of an answer that the server had not yet told of when it was asked.
  const questions = others.filter((view) => !kept.includes(view) && parents.has(view.id));
  return [...merged, ...questions, ...kept];
}

/** A question is echoed before it has an id. Its answer's row says which one it got. */
function adoptQuestions(views: readonly MessageView[], rowOf: ReadonlyMap<string, Message>): void {
  for (const question of views) {
    if (question.stored || question.role !== 'user') continue;
    const echo = question.id;
    const answer = views.find((view) => view.parentId === echo && view.stored && rowOf.has(view.id));
    const id = answer && rowOf.get(answer.id)?.parent_id;
    if (!id) continue;
    question.id = id;
    question.stored = true;
    for (const view of views) if (view.parentId === echo) view.parentId = id;
  }
}

import { prefix } from '$/lib/text';
import type { MessageView } from '$/state/message.svelte';

/** A question and what followed it. */
export interface Turn {
  /** Stable: that of its question, also of one that is not here yet. */
  key: string;
  messages: readonly MessageView[];
}

/**
 * Groups a branch by its questions. System messages are instructions to the model and are not shown. A turn that is the same
 * as `before` is the same object, so that nothing looks at it again.
 */
export function turnsOf(path: readonly MessageView[], before: readonly Turn[] = []): Turn[] {
  const turns: { key: string; messages: MessageView[] }[] = [];
  for (const message of path) {
    if (message.role === 'system') continue;
    const current = turns.at(-1);
    if (message.role === 'user' || !current) turns.push({ key: keyOf(message), messages: [message] });
    else current.messages.push(message);
  }
  const known = new Map(before.map((turn) => [turn.key, turn]));
  return turns.map((turn) => {
    const old = known.get(turn.key);
    return old && isSame(old.messages, turn.messages) ? old : turn;
  });
}

/** What is read has its id as its key: an answer whose question has not been read yet knows that. */
function keyOf(first: MessageView): string {
  return first.role === 'user' ? first.key : (first.parentId ?? first.key);
}

function isSame(a: readonly MessageView[], b: readonly MessageView[]): boolean {
  return a.length === b.length && a.every((message, at) => message === b[at]);
}

/** For each answer of a branch the one before it. Made once a branch: every message asks. */
const before = new WeakMap<readonly MessageView[], Map<MessageView, MessageView>>();

/** The answer before this one on a branch; undefined for the first. */
export function answerBefore(path: readonly MessageView[], message: MessageView): MessageView | undefined {
  let known = before.get(path);
  if (!known) {
    known = new Map();
    let last: MessageView | undefined;
    for (const each of path) {
      if (each.role !== 'assistant') continue;
      if (last) known.set(each, last);
      last = each;
    }
    before.set(path, known);
  }
  return known.get(message);
}

const EAGER_CHARS = 6_000;
const MOST_EAGER = 8;

/**
 * The newest messages that surely fill a screen: they are rendered at once, so that the first frame is not empty. Where they
 * are those of `before`, it is that set.
 */
export function eagerKeys(
  path: readonly MessageView[],
  before: ReadonlySet<string> = new Set(),
): ReadonlySet<string> {
  const keys = new Set<string>();
  let characters = 0;
  for (let at = path.length - 1; at >= 0 && keys.size < MOST_EAGER && characters < EAGER_CHARS; at -= 1) {
    const message = path[at];
    if (!message) break;
    keys.add(message.key);
    characters += message.text.length;
  }
  return keys.size === before.size && [...keys].every((key) => before.has(key)) ? before : keys;
}

const HEAD_LINES = 12;
const HEAD_CHARS = 1_100;

/** The beginning of a long question, cut at a line or word; the text itself when it is short enough to show. */
export function beginning(text: string): string {
  let end = text.length > HEAD_CHARS * 1.3 ? HEAD_CHARS : text.length;
  let line = -1;
  for (let lines = 0; lines < HEAD_LINES; lines += 1) {
    line = text.indexOf('\n', line + 1);
    if (line === -1 || line > end) break;
  }
  // Two lines more are shown rather than hidden behind a button.
  if (line !== -1 && line < end && text.slice(line).split('\n', 4).length > 3) end = line;
  if (end === text.length) return text;
  const space = text.lastIndexOf(' ', end);
  if (text[end] !== '\n' && space > end - 40) end = space;
  return prefix(text, end).trimEnd();
}

import { prefix } from '$/lib/text';
import type { MessageView } from '$/state/message.svelte';

/** A question and what followed it. */
export interface Turn {
  /** Stable: that of its first message. */
  key: string;
  messages: MessageView[];
}

/** Groups a branch by its questions. System messages are instructions to the model and are not shown. */
export function turnsOf(path: readonly MessageView[]): Turn[] {
  const turns: Turn[] = [];
  for (const message of path) {
    if (message.role === 'system') continue;
    const current = turns.at(-1);
    if (message.role === 'user' || !current) turns.push({ key: message.key, messages: [message] });
    else current.messages.push(message);
  }
  return turns;
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

/** The newest messages that surely fill a screen: they are rendered at once, so that the first frame is not empty. */
export function eagerKeys(path: readonly MessageView[]): Set<string> {
  const keys = new Set<string>();
  let characters = 0;
  for (let at = path.length - 1; at >= 0 && keys.size < MOST_EAGER && characters < EAGER_CHARS; at -= 1) {
    const message = path[at];
    if (!message) break;
    keys.add(message.key);
    characters += message.text.length;
  }
  return keys;
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

import { isBlank } from '$/lib/text';

/** A question may have so many characters; the server counts Unicode code points, as this page does. */
export const MESSAGE_CHARS = 200_000;
/** From here on the count is shown. */
export const NEARLY_FULL = 0.9 * MESSAGE_CHARS;
/** A paste of more UTF-16 units than this cannot fit: a code point has two at most. */
export const PASTE_UNITS = 2 * MESSAGE_CHARS;

export type KeyAction = 'send' | 'none';

type Key = Pick<
  KeyboardEvent,
  'key' | 'shiftKey' | 'altKey' | 'ctrlKey' | 'metaKey' | 'isComposing' | 'keyCode'
>;

/**
 * What a key in the composer does. Enter sends, Shift+Enter and Alt+Enter make a new line; on a touch keyboard,
 * which has no Shift+Enter, Enter alone makes it. Ctrl or Cmd+Enter always sends.
 */
export function keyAction(event: Key, touch: boolean): KeyAction {
  if (event.key !== 'Enter' || composing(event)) return 'none';
  if (event.ctrlKey || event.metaKey) return 'send';
  return touch || event.shiftKey || event.altKey ? 'none' : 'send';
}

/** Whether the key belongs to an input method. Safari ends the composition before it tells of the key: 229. */
export function composing(event: Pick<KeyboardEvent, 'isComposing' | 'keyCode'>): boolean {
  return event.isComposing || event.keyCode === 229;
}

/** Characters as people and the server count them; long texts are counted without a copy. */
export function countCharacters(text: string): number {
  let surrogates = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit >= 0xd800 && unit < 0xdc00) surrogates += 1;
  }
  return text.length - surrogates;
}

export type Verdict = 'ready' | 'empty' | 'too_long' | 'busy';

/** Whether a text can be sent now, and if not, why. */
export function verdict(text: string, count: number, busy: boolean): Verdict {
  if (count > MESSAGE_CHARS) return 'too_long';
  // First: nobody who has typed nothing is to be told to wait.
  if (isBlank(text)) return 'empty';
  return busy ? 'busy' : 'ready';
}

/** A question that was refused goes back before what was typed meanwhile; nothing is lost, nothing doubled. */
export function giveBack(refused: string, typed: string): string {
  if (isBlank(typed) || typed === refused) return refused;
  return `${refused}\n\n${typed}`;
}

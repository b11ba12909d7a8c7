/**
 * From so many characters on, a text is neither measured nor asked for its direction: it fills its box anyway,
 * and `dir="auto"` lays all of it out again at every key (measured in Chromium: 0.26 s a key at 200,000).
 */
export const LONG_TEXT = 20_000;

/** Whether questions are typed on glass: no Shift+Enter there, and a focus opens the keyboard. */
export function hasTouchKeyboard(): boolean {
  return matchMedia('(hover: none) and (pointer: coarse)').matches;
}

const sizesItself = typeof CSS !== 'undefined' && CSS.supports?.('field-sizing', 'content');

/** Makes the area as tall as its text, in browsers that cannot do that by style. The style keeps the limits. */
export function fitToText(area: HTMLTextAreaElement): void {
  if (sizesItself) return;
  if (area.value.length > LONG_TEXT) {
    area.style.blockSize = '';
    return;
  }
  area.style.blockSize = 'auto';
  area.style.blockSize = `${area.scrollHeight}px`;
}

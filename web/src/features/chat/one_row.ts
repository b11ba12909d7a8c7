/** A longer text never fits beside the buttons: nothing has to be measured. */
const SHORT = 300;

let pen: CanvasRenderingContext2D | null | undefined;

/** How wide (px) a line of text is in an element's font. Drawn nowhere, so that nothing is laid out anew. */
function widthOf(text: string, font: string): number {
  pen ??= document.createElement('canvas').getContext('2d');
  if (!pen) return 0;
  pen.font = font;
  return pen.measureText(text).width;
}

/**
 * Whether a text fits into one line beside the buttons of `bar`. Decided from the widths alone, never from how it is
 * laid out now: so the answer is the same before and after the rows have changed.
 */
export function fitsOneRow(text: string, area: HTMLElement, box: HTMLElement, bar: HTMLElement): boolean {
  if (text.includes('\n') || text.length > SHORT) return false;
  const whole = box.clientWidth;
  // Not laid out yet.
  if (whole === 0) return true;
  const parts = Array.from(bar.children, (part) => (part instanceof HTMLElement ? part.offsetWidth : 0));
  const { font, fontSize } = getComputedStyle(area);
  const em = Number.parseFloat(fontSize);
  // Paddings and gaps, and room for the cursor.
  const room = whole - parts.reduce((sum, width) => sum + width, 0) - 4 * em;
  return widthOf(text, font) <= room;
}

const LINE = new Set(['P', 'H1', 'H2', 'H3', 'H4', 'H5', 'H6']);
const CONTAINER = new Set(['UL', 'OL', 'LI', 'BLOCKQUOTE']);
/** Blocks that a list item may end with, below which the next word would stand. */
const BLOCK = new Set(['PRE', 'DIV', 'TABLE', 'HR', 'FIGURE']);

/**
 * The element in whose last line the next word will stand: the last paragraph, heading or list item, however deep;
 * the answer itself where it ends with a block that has no such line.
 */
export function lineOf(answer: Element): Element {
  let at = answer;
  for (;;) {
    const last = at.lastElementChild;
    if (last === null || BLOCK.has(last.tagName)) return at === answer || at.tagName === 'LI' ? at : answer;
    if (LINE.has(last.tagName)) return last;
    // Words in an item's own line, plain or emphasised.
    if (!CONTAINER.has(last.tagName)) return at.tagName === 'LI' ? at : answer;
    at = last;
  }
}

/**
 * Marks the line with the class `line`. A selector that finds it costs the style of the whole answer at each word;
 * this is a walk down its right edge.
 */
export class Caret {
  #line: Element | null = null;

  move(answer: Element): void {
    const line = lineOf(answer);
    if (line === this.#line) return;
    this.remove();
    line.classList.add('line');
    this.#line = line;
  }

  remove(): void {
    const line = this.#line;
    this.#line = null;
    line?.classList.remove('line');
    if (line?.classList.length === 0) line.removeAttribute('class');
  }
}

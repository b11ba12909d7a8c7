import type { Footnote, MarkdownToken } from './lex';

/** A mark without a definition is one where it looks like a mark and like nothing else. */
const PLAIN_LABEL = /^\d{1,3}$/;

let answers = 0;

/**
 * The footnotes of one answer: which labels are defined, and which number each has. Numbers are given in the order of
 * the first marks.
 */
export class Notes {
  /** What the ids of this answer begin with. No other answer in the page has the same. */
  readonly id = `note-${++answers}`;
  /** The whole text was read: no definition is yet to come. */
  complete = false;
  readonly #certain = new Map<string, Footnote>();
  #open = new Map<string, Footnote>();
  readonly #numbers = new Map<string, number>();
  /** For each label that was met: whether it was shown as a mark. */
  readonly #shownAs = new Map<string, boolean>();

  /** Reads the next blocks, for good. */
  add(blocks: readonly MarkdownToken[]): void {
    collect(blocks, this.#certain);
  }

  /** Reads blocks that may still change. */
  preview(blocks: readonly MarkdownToken[]): void {
    if (blocks.length === 0 && this.#open.size === 0) return;
    this.#open = new Map();
    collect(blocks, this.#open);
  }

  /** Whether `[^label]` is shown as a mark. While an answer is written, its definition may be yet to come. */
  isMark(label: string): boolean {
    const mark = this.#has(keyOf(label)) || (!this.complete && PLAIN_LABEL.test(label));
    if (!this.#shownAs.has(keyOf(label))) this.#shownAs.set(keyOf(label), mark);
    return mark;
  }

  /** A label was not shown as what it has turned out to be, so other numbers may be wrong too. */
  get mustBeShownAgain(): boolean {
    for (const [key, mark] of this.#shownAs) if (mark !== this.#has(key)) return true;
    return false;
  }

  numberOf(label: string): number {
    const key = keyOf(label);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#numbers.size + 1;
    this.#numbers.set(key, number);
    return number;
  }

  /** The definitions in the order of their numbers, then those that nothing refers to: no text is lost. */
  definitions(): Footnote[] {
    const all = new Map([...this.#certain, ...this.#open, ...this.#certain]);
    const marked = [...this.#numbers.keys()].flatMap((key) => all.get(key) ?? []);
    for (const key of this.#numbers.keys()) all.delete(key);
    return [...marked, ...all.values()];
  }

  get isEmpty(): boolean {
    return this.#certain.size === 0 && this.#open.size === 0;
  }

  #has(key: string): boolean {
    return this.#certain.has(key) || this.#open.has(key);
  }
}

/** Labels are the same whatever the case of their letters. */
function keyOf(label: string): string {
  return label.toLowerCase();
}

/** The first definition of a label counts. */
function collect(tokens: readonly MarkdownToken[], into: Map<string, Footnote>): void {
  for (const token of tokens) {
    if (token.type === 'footnote' && !into.has(keyOf(token.label))) into.set(keyOf(token.label), token);
    const inner: readonly MarkdownToken[] =
      token.type === 'list'
        ? token.items
        : token.type === 'list_item' ||
            token.type === 'blockquote' ||
            token.type === 'alert' ||
            token.type === 'details' ||
            token.type === 'footnote'
          ? (token.tokens as MarkdownToken[])
          : [];
    if (inner.length > 0) collect(inner, into);
  }
}

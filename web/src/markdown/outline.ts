import type { MarkdownToken } from './lex';

/** An answer stands under a heading of its message (h2), so its own begin at h3. */
const LEVELS = ['h3', 'h4', 'h5', 'h6'] as const;
export type HeadingName = (typeof LEVELS)[number];

/** For a heading its element's name; for what holds headings the names of all of them. */
const outlines = new WeakMap<MarkdownToken, string>();

/**
 * Gives headings their level by how they stand in one another, whatever depth the text begins at or leaves out: each
 * is one below the nearest heading before it that is less deep, and the first is an h3. What an assistive technology
 * reads is therefore a tree without gaps. Headings within quotes and lists count like any other.
 *
 * **Invariant:** a block's levels depend only on the blocks before it, so a block that was added keeps its levels.
 */
export class Outline {
  /** The depths of the headings that the next block stands under: ever deeper ones. */
  #above: readonly number[] = [];

  /** Reads the next blocks, for good. */
  add(blocks: readonly MarkdownToken[]): void {
    this.#above = read(blocks, this.#above).above;
  }

  /** Reads blocks that may still change. */
  preview(blocks: readonly MarkdownToken[]): void {
    read(blocks, this.#above);
  }
}

/** What the outline says of a token: two tokens of the same text may differ in it. */
export function outlineOf(token: MarkdownToken): string {
  return outlines.get(token) ?? '';
}

export function headingOf(token: MarkdownToken): HeadingName {
  const name = outlineOf(token);
  return LEVELS.find((level) => level === name) ?? 'h3';
}

function read(
  tokens: readonly MarkdownToken[],
  before: readonly number[],
): { above: readonly number[]; names: string[] } {
  let above = before;
  const names: string[] = [];
  for (const token of tokens) {
    if (token.type === 'heading') {
      above = [...above.filter((depth) => depth < token.depth), token.depth];
      const name = LEVELS[above.length - 1] ?? 'h6';
      outlines.set(token, name);
      names.push(name);
      continue;
    }
    const inner = blocksIn(token);
    if (inner.length === 0) continue;
    const found = read(inner, above);
    above = found.above;
    if (found.names.length === 0) continue;
    outlines.set(token, found.names.join(' '));
    names.push(...found.names);
  }
  return { above, names };
}

function blocksIn(token: MarkdownToken): readonly MarkdownToken[] {
  if (token.type === 'list') return token.items;
  switch (token.type) {
    case 'list_item':
    case 'blockquote':
    case 'alert':
    case 'details':
      return token.tokens as MarkdownToken[];
    default:
      return [];
  }
}

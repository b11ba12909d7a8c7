import type { MarkdownToken } from './lex';
import { outlineOf } from './outline';

/** Where a token stands. */
export interface Place {
  /** At the end of a text that is still being written. */
  readonly live: boolean;
  /** Within a link: nothing in there may be a link again. */
  readonly inLink: boolean;
}

/**
 * What stands in the page for one token, and keeps up with it: when the text has grown, the part of the token at the
 * same place is updated, so that the nodes which the reader sees, selects and scrolls stay the same ones.
 */
export interface Part {
  readonly node: Element | Text;
  update(token: MarkdownToken, place: Place): void;
  /** Lets go of what the page holds for it elsewhere. */
  destroy?(): void;
}

interface Entry {
  readonly part: Part;
  /** Two tokens of one shape can be shown by one part. */
  readonly shape: string;
  raw: string;
  /** The headings in it may move in the outline though its text stays. */
  outline: string;
  live: boolean;
}

export interface PartKind {
  /** A part for tokens of `shapeOf(token)`, still empty. */
  create(token: MarkdownToken, place: Place): Part;
  shapeOf(token: MarkdownToken, place: Place): string;
}

/** The parts within one node, in the order of their tokens. They are its last children. */
export class PartList {
  #entries: Entry[] = [];
  readonly #kind: PartKind;

  constructor(kind: PartKind) {
    this.#kind = kind;
  }

  /** Makes the parts show these tokens. */
  update(parent: Element, tokens: readonly MarkdownToken[], place: Place): void {
    for (const [index, token] of tokens.entries()) {
      const live = place.live && index === tokens.length - 1;
      const here = live === place.live ? place : { ...place, live };
      const entry = this.#entries[index];
      const shape = this.#kind.shapeOf(token, here);
      const outline = outlineOf(token);
      if (entry !== undefined && entry.shape === shape) {
        const same = entry.raw === token.raw && entry.outline === outline && entry.live === live;
        if (!same) entry.part.update(token, here);
        entry.raw = token.raw;
        entry.outline = outline;
        entry.live = live;
        continue;
      }
      const part = this.#kind.create(token, here);
      part.update(token, here);
      if (entry === undefined) parent.append(part.node);
      else replace(entry.part, part);
      this.#entries[index] = { part, shape, raw: token.raw, outline, live };
    }
    for (const { part } of this.#entries.splice(tokens.length)) {
      part.node.remove();
      part.destroy?.();
    }
  }

  /** Leaves the first parts in the page as they are, for good. */
  release(count: number): void {
    this.#entries.splice(0, count);
  }

  destroy(): void {
    for (const { part } of this.#entries.splice(0)) part.destroy?.();
  }
}

function replace(old: Part, fresh: Part): void {
  old.node.replaceWith(fresh.node);
  old.destroy?.();
}

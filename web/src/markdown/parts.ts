import type { Answer } from './answer';
import type { MarkdownToken } from './lex';
import { outlineOf } from './outline';

/** Where a token stands. */
export interface Place {
  /** At the end of a text that is still being written. */
  readonly live: boolean;
  /** Within a link: nothing in there may be a link again. */
  readonly inLink: boolean;
  readonly answer: Answer;
}

/**
 * What stands in the page for one token, and keeps up with it: when the text has grown, the part of the token at the
 * same place is updated, so that the nodes which the reader sees, selects and scrolls stay the same ones.
 */
export interface Part {
  readonly node: Element | Text;
  /** Shows the token. Where the budget ends before that, it is called again with the same token. */
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
  /** The budget did not end before all of it was shown. */
  complete: boolean;
}

/** The shape of what is not to be made again, whatever it is. */
const KEPT = 'kept';

export interface PartKind {
  /** A part for tokens of `shapeOf(token)`, still empty. */
  create(token: MarkdownToken, place: Place): Part;
  shapeOf(token: MarkdownToken, place: Place): string;
  /** What making the part costs, in elements; 1 where it is not said. */
  weightOf?(token: MarkdownToken): number;
}

/** The parts within one node, in the order of their tokens. They are its last children, or stand before `end`. */
export class PartList {
  #entries: Entry[] = [];
  readonly #kind: PartKind;

  constructor(kind: PartKind) {
    this.#kind = kind;
  }

  /** Parts that show these texts already; those that `isStale` are made anew. */
  static over(
    kind: PartKind,
    shown: readonly { readonly part: Part; readonly raw: string }[],
    isStale: (raw: string) => boolean,
  ): PartList {
    const list = new PartList(kind);
    list.#entries = shown.map(({ part, raw }) => {
      const shape = isStale(raw) ? 'stale' : KEPT;
      return { part, shape, raw, outline: '', live: false, complete: true };
    });
    return list;
  }

  /** Makes the parts show these tokens, as far as the budget goes. Gives back how many are shown wholly. */
  update(
    parent: Element,
    tokens: readonly MarkdownToken[],
    place: Place,
    end: Element | null = null,
  ): number {
    const { budget } = place.answer;
    for (const [index, token] of tokens.entries()) {
      const live = place.live && index === tokens.length - 1;
      const here = live === place.live ? place : { ...place, live };
      const entry = this.#entries[index];
      if (entry?.shape === KEPT && entry.raw === token.raw) continue;
      const shape = this.#kind.shapeOf(token, here);
      const outline = outlineOf(token);
      const fits = entry !== undefined && entry.shape === shape;
      if (
        fits &&
        entry.complete &&
        entry.raw === token.raw &&
        entry.outline === outline &&
        entry.live === live
      )
        continue;
      if (!budget.spend(fits ? 1 : this.#kind.weightOf?.(token))) return index;
      const part = fits ? entry.part : this.#kind.create(token, here);
      // First into the page: what is made within it is laid out as it comes.
      if (entry === undefined) parent.insertBefore(part.node, end);
      else if (!fits) replace(entry.part, part);
      part.update(token, here);
      const complete = !budget.cut;
      this.#entries[index] = { part, shape, raw: token.raw, outline, live, complete };
      if (!complete) return index;
    }
    for (const { part } of this.#entries.splice(tokens.length)) {
      part.node.remove();
      part.destroy?.();
    }
    return tokens.length;
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

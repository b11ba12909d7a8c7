import { completeHalfTyped } from './half_typed';
import { lex, type MarkdownToken } from './lex';
import { MAX_PARAGRAPH } from './long';
import { opensBlockMath } from './math_syntax';

export interface Blocks {
  /** Blocks that no later text can change. Each is handed out once. */
  readonly stable: readonly MarkdownToken[];
  /** The blocks after them as they look at this moment. */
  readonly open: readonly MarkdownToken[];
}

/** What the lines of an unfinished formula look like. */
const MAY_BE_MATH = new Set(['paragraph', 'heading', 'table']);
const FENCE = /^ {0,3}(`{3,}|~{3,})/;

/**
 * Reads a text that arrives piece by piece, without reading what is certain again.
 *
 * **Invariant:** the stable blocks, in order, are the blocks of the whole text, however it was cut (link reference
 * definitions aside, see `hasDefinitions`).
 */
export class BlockStream {
  /** The text of the open blocks. */
  #open = '';
  /** A carriage return that may be the first half of a line's end. */
  #carriageReturn = false;
  /** How much of the open text has been searched for stable blocks. */
  #searched = 0;
  #hasDefinitions = false;
  #handedOut = false;

  /** A definition was met after blocks were handed out: they may have been read without it. */
  get mustBeReadAgain(): boolean {
    return this.#hasDefinitions && this.#handedOut;
  }

  get openLength(): number {
    return this.#open.length;
  }

  append(text: string): void {
    const joined = this.#carriageReturn ? `\r${text}` : text;
    this.#carriageReturn = joined.endsWith('\r');
    this.#open += normalizeLines(this.#carriageReturn ? joined.slice(0, -1) : joined);
  }

  update(): Blocks {
    const stable = this.#takeStable();
    const { blocks } = lex(completeHalfTyped(this.#open));
    return { stable, open: blocks };
  }

  /** Nothing follows: every block is stable. */
  finish(): Blocks {
    if (this.#carriageReturn) this.#open += '\n';
    const { blocks, hasDefinitions } = lex(this.#open);
    this.#hasDefinitions ||= hasDefinitions;
    this.#open = '';
    this.#carriageReturn = false;
    this.#searched = 0;
    return { stable: blocks, open: [] };
  }

  /**
   * Only whole lines can end a block, and only another block after it shows that it has ended. A line that is longer
   * than what is read at once is cut, and what is before the cut is certain.
   */
  #takeStable(): MarkdownToken[] {
    let lines = this.#open.lastIndexOf('\n') + 1;
    if (this.#open.length - Math.max(lines, this.#searched) > 2 * MAX_PARAGRAPH) lines = this.#open.length;
    if (lines <= this.#searched) return [];
    this.#searched = lines;
    if (hasUnclosedFence(this.#open)) return [];

    const { blocks, hasDefinitions } = lex(this.#open.slice(0, lines));
    this.#hasDefinitions ||= hasDefinitions;
    const last = blocks.findLastIndex((block) => block.type !== 'space');
    let length = 0;
    let taken = 0;
    for (const block of blocks.slice(0, Math.max(last, 0))) {
      // The lexer's account of what it read must be exact, or text would be lost or doubled.
      if (!this.#open.startsWith(block.raw, length)) break;
      if (MAY_BE_MATH.has(block.type) && opensBlockMath(this.#open.slice(length, lines), block.raw.length))
        break;
      length += block.raw.length;
      taken++;
    }
    this.#open = this.#open.slice(length);
    this.#searched -= length;
    this.#handedOut ||= taken > 0;
    return blocks.slice(0, taken);
  }
}

/** The way the lexer wants its lines: ended by a line feed alone, and without U+0000. */
export function normalizeLines(text: string): string {
  return text.replace(/\r\n?/g, '\n').replaceAll('\0', '\ufffd');
}

/** Without the tokens that show nothing in their place. Footnotes are shown at the answer's end. */
export function visibleBlocks(blocks: readonly MarkdownToken[]): MarkdownToken[] {
  return blocks.filter(({ type }) => type !== 'space' && type !== 'def' && type !== 'footnote');
}

/** The commonest long block: while it is open, nothing can become stable and nothing need be read to know it. */
function hasUnclosedFence(source: string): boolean {
  const fence = FENCE.exec(source)?.[1];
  if (fence === undefined) return false;
  const close = new RegExp(`\\n {0,3}${fence.charAt(0)}{${fence.length},}[ \\t]*(?:\\n|$)`);
  return !close.test(source);
}

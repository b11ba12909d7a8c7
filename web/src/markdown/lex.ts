import { Lexer, Marked, type MarkedOptions, type MarkedToken, type Token, type Tokens } from 'marked';
import { type Alert, markAlerts } from './alerts';
import { type Details, type Footnote, footnote, type NoteMark, noteMark } from './extensions';
import { type BlockMath, blockMath, type InlineMath, inlineMath, maskMath } from './math_syntax';
import { nestTags, type TagElement } from './tags';
import { BoundedTokenizer, type Source } from './tokenizer';

export type { Alert, Details, Footnote, NoteMark, Source, TagElement };

/** A paragraph; `cut` when it is the first part of one that is too long to be read at once. */
export type Paragraph = Tokens.Paragraph & { readonly cut?: true };

/** One block or inline of a text; its children are of the same kind. */
export type MarkdownToken =
  | MarkedToken
  | BlockMath
  | InlineMath
  | Alert
  | Details
  | Footnote
  | NoteMark
  | Source
  | TagElement;

export interface Lexed {
  blocks: MarkdownToken[];
  /** The text defines link references: what they mean is certain only once the whole text is there. */
  hasDefinitions: boolean;
}

/** Emphasis and links within each other. */
const MAX_INLINE_DEPTH = 20;
/** Characters of one run of inline text; a longer one (a base64 dump, an attack) is plain text. */
const MAX_INLINE_LENGTH = 16_000;
/** Characters times marks of emphasis and links: the search for their ends costs about that. */
const MAX_INLINE_SEARCH = 4_000_000;
/** Characters that the nested runs of one run of inline text may make the lexer read. */
const INLINE_WORK = 200_000;

/**
 * Text is a stranger's, so time and stack must be bounded whatever it says: nesting is cut at a depth, and nested
 * work at a budget. What is beyond is shown as plain text. The budget belongs to a block of the top level, never to
 * a call: the same text gives the same tokens however it was cut into pieces.
 */
export class BoundedLexer extends Lexer {
  blockDepth = 0;
  blockWork = 0;
  #inlineDepth = 0;
  #inlineWork = 0;

  override inlineTokens(source: string, tokens: Token[] = []): Token[] {
    if (this.#inlineDepth === 0) this.#inlineWork = isPlain(source) ? 0 : INLINE_WORK;
    this.#inlineWork -= source.length;
    if (this.#inlineDepth > MAX_INLINE_DEPTH || this.#inlineWork < 0) {
      tokens.push({ type: 'text', raw: source, text: source, escaped: false });
      return tokens;
    }
    this.#inlineDepth++;
    try {
      return nestTags(super.inlineTokens(source, tokens));
    } finally {
      this.#inlineDepth--;
    }
  }
}

const marked = new Marked({
  gfm: true,
  extensions: [blockMath, inlineMath, footnote, noteMark],
  hooks: { emStrongMask: maskMath },
});
const options: MarkedOptions = { ...marked.defaults, tokenizer: new BoundedTokenizer() };

/** Reads a text into blocks. Never throws: what the lexer cannot read is shown as it is written. */
export function lex(source: string): Lexed {
  try {
    const tokens = new BoundedLexer(options).lex(source);
    markAlerts(tokens);
    return { blocks: tokens as MarkdownToken[], hasDefinitions: Object.keys(tokens.links).length > 0 };
  } catch {
    const whole: Source = { type: 'source', raw: source, text: source };
    return { blocks: [whole], hasDefinitions: false };
  }
}

/** Whether a run of inline text is too long, or too full of marks, to be read as anything but text. */
export function isPlain(source: string): boolean {
  if (source.length < 1_000) return false;
  if (source.length > MAX_INLINE_LENGTH) return true;
  let marks = 0;
  for (let at = 0; at < source.length; at++) {
    const code = source.charCodeAt(at);
    // * [ _ ~ <
    if (code === 0x2a || code === 0x5b || code === 0x5f || code === 0x7e || code === 0x3c) marks++;
  }
  return marks * source.length > MAX_INLINE_SEARCH;
}

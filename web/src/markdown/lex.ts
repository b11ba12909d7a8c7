import {
  Lexer,
  Marked,
  type MarkedOptions,
  type MarkedToken,
  type Token,
  Tokenizer,
  type Tokens,
} from 'marked';
import { type BlockMath, blockMath, type InlineMath, inlineMath, maskMath } from './math_syntax';

/** One block or inline of a text; its children are of the same kind. */
export type MarkdownToken = MarkedToken | BlockMath | InlineMath;

export interface Lexed {
  blocks: MarkdownToken[];
  /** The text defines link references: what they mean is certain only once the whole text is there. */
  hasDefinitions: boolean;
}

/** Quotes and lists within each other; deeper ones are shown as they are written. */
const MAX_BLOCK_DEPTH = 20;
/** Emphasis and links within each other. */
const MAX_INLINE_DEPTH = 20;
/** Characters of one run of inline text; a longer one (a base64 dump, an attack) is plain text. */
const MAX_INLINE_LENGTH = 16_000;
/** Characters times marks of emphasis and links: the search for their ends costs about that. */
const MAX_INLINE_SEARCH = 4_000_000;
/** Characters that the blocks nested in one block may make the lexer read, all levels and re-reads counted. */
const NESTED_WORK = 2_000_000;
/** Characters that the nested runs of one run of inline text may make the lexer read. */
const INLINE_WORK = 200_000;

/**
 * Text is a stranger's, so time and stack must be bounded whatever it says: nesting is cut at a depth, and nested
 * work at a budget. What is beyond is shown as plain text. The budget belongs to a block of the top level, never to
 * a call: the same text gives the same tokens however it was cut into pieces.
 */
class BoundedLexer extends Lexer {
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
      return super.inlineTokens(source, tokens);
    } finally {
      this.#inlineDepth--;
    }
  }
}

class BoundedTokenizer extends Tokenizer {
  override blockquote(source: string): Tokens.Blockquote | undefined {
    return this.#nested(source, /^ {0,3}>/, () => super.blockquote(source));
  }

  override list(source: string): Tokens.List | undefined {
    return this.#nested(source, /^ {0,3}(?:[*+-]|\d{1,9}[.)])(?:[ \t]|\n|$)/, () => super.list(source));
  }

  /** Raw HTML is text here, so its `<a>` and `<pre>` must not change how the words after it are read. */
  override tag(source: string): Tokens.Tag | undefined {
    const { inLink, inRawBlock } = this.lexer.state;
    const token = super.tag(source);
    this.lexer.state.inLink = inLink;
    this.lexer.state.inRawBlock = inRawBlock;
    return token;
  }

  #nested<Found extends Tokens.Blockquote | Tokens.List>(
    source: string,
    opener: RegExp,
    lex: () => Found | undefined,
  ): Found | undefined {
    const lexer = this.lexer;
    if (!(lexer instanceof BoundedLexer) || !opener.test(source)) return undefined;
    if (lexer.blockDepth === 0) lexer.blockWork = NESTED_WORK;
    if (lexer.blockDepth >= MAX_BLOCK_DEPTH || lexer.blockWork < 0)
      return asWritten(source) as Token as Found;
    lexer.blockDepth++;
    try {
      const found = lex();
      lexer.blockWork -= found?.raw.length ?? 0;
      return found;
    } finally {
      lexer.blockDepth--;
    }
  }
}

const marked = new Marked({
  gfm: true,
  extensions: [blockMath, inlineMath],
  hooks: { emStrongMask: maskMath },
});
const options: MarkedOptions = { ...marked.defaults, tokenizer: new BoundedTokenizer() };

/** Reads a text into blocks. Never throws: what the lexer cannot read is shown as it is written. */
export function lex(source: string): Lexed {
  try {
    const tokens = new BoundedLexer(options).lex(source);
    return { blocks: tokens as MarkdownToken[], hasDefinitions: Object.keys(tokens.links).length > 0 };
  } catch {
    return { blocks: [asWritten(source, source.length)], hasDefinitions: false };
  }
}

/** Whether a run of inline text is too long, or too full of marks, to be read as anything but text. */
export function isPlain(source: string): boolean {
  if (source.length < 1_000) return false;
  if (source.length > MAX_INLINE_LENGTH) return true;
  let marks = 0;
  for (let at = 0; at < source.length; at++) {
    const code = source.charCodeAt(at);
    // * [ _ ~
    if (code === 0x2a || code === 0x5b || code === 0x5f || code === 0x7e) marks++;
  }
  return marks * source.length > MAX_INLINE_SEARCH;
}

/** The text up to its first blank line (or `length`), as a paragraph without any markup. */
function asWritten(source: string, length?: number): Tokens.Paragraph {
  const end = length ?? source.search(/\n[ \t]*(?:\n|$)/);
  const raw = end < 0 ? source : source.slice(0, end);
  return { type: 'paragraph', raw, text: raw, tokens: [{ type: 'text', raw, text: raw, escaped: false }] };
}

import { type Token, Tokenizer, type Tokens } from 'marked';
import { opensDetails, readDetails } from './extensions';
import type { BoundedLexer, Paragraph } from './lex';
import { listCut, MAX_PARAGRAPH, paragraphCut } from './long';
import { startsWithTag } from './tags';

/** Text that is shown as it is written: as Markdown it would be too much for a page. */
export interface Source {
  type: 'source';
  raw: string;
  text: string;
}

/** Quotes, lists and the like within each other; deeper ones are shown as they are written. */
const MAX_BLOCK_DEPTH = 20;
/** Characters that the blocks nested in one block may make the lexer read, all levels and re-reads counted. */
const NESTED_WORK = 1_000_000;
/** Cells of one table. Columns count for every row, because a short row is filled up. */
const MAX_CELLS = 4_000;

/** The rules for blocks, with bounds; and where this page reads a text otherwise than CommonMark does. */
export class BoundedTokenizer extends Tokenizer {
  override blockquote(source: string): Tokens.Blockquote | undefined {
    return this.#nested(source, /^ {0,3}>/, () => super.blockquote(source));
  }

  override list(source: string): Tokens.List | undefined {
    const opener = /^ {0,3}(?:[*+-]|\d{1,9}[.)])(?:[ \t]|\n|$)/;
    return this.#nested(source, opener, () => {
      const cut = listCut(source);
      const found = super.list(source.slice(0, cut));
      const whole =
        found === undefined ||
        cut === source.length ||
        found.raw.length < source.slice(0, cut).trimEnd().length;
      return whole ? found : ({ ...found, cut: true } as Tokens.List);
    });
  }

  override html(source: string): Tokens.HTML | undefined {
    if (opensDetails(source))
      return this.#nested(source, /^/, () => readDetails(source, this.#lexer) as Token as Tokens.HTML);
    return startsWithTag(source) ? undefined : super.html(source);
  }

  /** Other HTML is text here, so its `<a>` and `<pre>` must not change how the words after it are read. */
  override tag(source: string): Tokens.Tag | undefined {
    const { inLink, inRawBlock } = this.lexer.state;
    const token = super.tag(source);
    this.lexer.state.inLink = inLink;
    this.lexer.state.inRawBlock = inRawBlock;
    return token;
  }

  /** Two tildes strike. One is what people write before a number, or around the index of a formula. */
  override del(source: string, masked: string, before?: string): Tokens.Del | undefined {
    return source.startsWith('~~') ? super.del(source, masked, before) : undefined;
  }

  override def(source: string): Tokens.Def | undefined {
    return super.def(source.slice(0, MAX_PARAGRAPH));
  }

  override table(source: string): Tokens.Table | undefined {
    const [raw, header = '', delimiters = '', rows = ''] = this.rules.block.table.exec(source) ?? [];
    if (raw === undefined || header.length > MAX_PARAGRAPH) return undefined;
    const columns = delimiters.split('|').length;
    const cells = columns * (rows.trimEnd().split('\n').length + 1);
    return cells <= MAX_CELLS ? super.table(source) : (asSource(raw) as Token as Tokens.Table);
  }

  override lheading(source: string): Tokens.Heading | undefined {
    const found = super.lheading(source.slice(0, MAX_PARAGRAPH));
    // A line that was cut off may look like the underline.
    return found !== undefined && found.raw.length < MAX_PARAGRAPH ? found : undefined;
  }

  override paragraph(source: string): Paragraph | undefined {
    const cut = paragraphCut(source);
    if (cut === undefined) return super.paragraph(source);
    const part = super.paragraph(source.slice(0, cut));
    return part?.raw.length === cut ? { ...part, cut: true } : part;
  }

  get #lexer(): BoundedLexer {
    return this.lexer as BoundedLexer;
  }

  #nested<Found extends Token>(
    source: string,
    opener: RegExp,
    lex: () => Found | undefined,
  ): Found | undefined {
    if (!opener.test(source)) return undefined;
    const lexer = this.#lexer;
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

function asSource(written: string): Source {
  const raw = written.trimEnd();
  return { type: 'source', raw, text: raw };
}

/** The text up to its first blank line, as a paragraph without any markup. */
function asWritten(source: string): Tokens.Paragraph {
  const end = source.search(/\n[ \t]*(?:\n|$)/);
  const raw = end < 0 ? source : source.slice(0, end);
  return { type: 'paragraph', raw, text: raw, tokens: [{ type: 'text', raw, text: raw, escaped: false }] };
}

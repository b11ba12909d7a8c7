import type { TokenizerAndRendererExtension } from 'marked';

/** A formula of its own lines. */
export interface BlockMath {
  type: 'block_math';
  raw: string;
  text: string;
  /** It is still being written: its source is shown, not the formula. */
  unfinished: boolean;
}

/** A formula within a line; `display` when it was written between `$$`. */
export interface InlineMath {
  type: 'inline_math';
  raw: string;
  text: string;
  display: boolean;
  unfinished: boolean;
}

/** Stands before a closing mark that only the page added, because the writer has not come to it yet. */
export const UNFINISHED = '\ue000';

/** The most characters a formula may have; beyond that its marks are plain text. */
export const MAX_MATH = 8_000;

// Between marks that stand on lines of their own blank lines are allowed; otherwise a blank line ends the attempt,
// so that a stray `$$` cannot hold back a whole answer.
const BLOCK = [
  new RegExp(`^ {0,3}\\$\\$[ \\t]*\\n([\\s\\S]{1,${MAX_MATH}}?)\\$\\$[ \\t]*(?:\\n|$)`),
  new RegExp(`^ {0,3}\\\\\\[[ \\t]*\\n([\\s\\S]{1,${MAX_MATH}}?)\\\\\\][ \\t]*(?:\\n|$)`),
  new RegExp(`^ {0,3}\\$\\$((?:(?!\\n[ \\t]*\\n)[\\s\\S]){1,${MAX_MATH}}?)\\$\\$[ \\t]*(?:\\n|$)`),
  new RegExp(`^ {0,3}\\\\\\[((?:(?!\\n[ \\t]*\\n)[\\s\\S]){1,${MAX_MATH}}?)\\\\\\][ \\t]*(?:\\n|$)`),
];
const BLOCK_OPENER = /^ {0,3}(?:\$\$|\\\[)/;
const OPENER_LINE = /\n {0,3}(?:\$\$|\\\[)/;
const OPENERS = /(?:^|\n) {0,3}(\$\$|\\\[)([ \t]*\n)?/g;

/** `$…$` as people write it: no space inside the marks, and no digit after, so that `$5 and $6` stay prices. */
const DOLLAR = /^\$(?![\s$])((?:\\.|[^\\$\n]){0,999}?(?:\\.|[^\\$\s]))\$(?!\d)/;
const DOUBLE_DOLLAR = /^\$\$((?:\\.|[^\\$]){1,2000}?)\$\$/;
const PARENTHESES = /^\\\(([\s\S]{1,2000}?)\\\)/;
const BRACKETS = /^\\\[([\s\S]{1,2000}?)\\\]/;
const MASKABLE =
  /\$\$(?:\\.|[^\\$]){1,2000}?\$\$|\$(?![\s$])(?:\\.|[^\\$\n]){0,999}?(?:\\.|[^\\$\s])\$(?!\d)/g;

export const blockMath: TokenizerAndRendererExtension = {
  name: 'block_math',
  level: 'block',
  start(source) {
    // A paragraph ends at a blank line: looking further would make long texts cost their square.
    const blank = source.indexOf('\n\n');
    const at = (blank < 0 ? source : source.slice(0, blank)).search(OPENER_LINE);
    return at < 0 ? undefined : at + 1;
  },
  tokenizer(source): BlockMath | undefined {
    if (!BLOCK_OPENER.test(source)) return undefined;
    for (const rule of BLOCK) {
      const match = rule.exec(source);
      if (match) return { type: 'block_math', raw: match[0], ...content(match[1] ?? '') };
    }
    return undefined;
  },
};

export const inlineMath: TokenizerAndRendererExtension = {
  name: 'inline_math',
  level: 'inline',
  start(source) {
    const at = source.search(/\$|\\[([]/);
    return at < 0 ? undefined : at;
  },
  tokenizer(source): InlineMath | undefined {
    const inline = matchInlineMath(source);
    return (
      inline && { type: 'inline_math', raw: inline.raw, display: inline.display, ...content(inline.text) }
    );
  },
};

/** The formula that begins a text, if one does. */
export function matchInlineMath(source: string): { raw: string; text: string; display: boolean } | undefined {
  const first = source.charCodeAt(0);
  if (first === 0x24) {
    const double = DOUBLE_DOLLAR.exec(source);
    const match = double ?? DOLLAR.exec(source);
    return match ? { raw: match[0], text: match[1] ?? '', display: double !== null } : undefined;
  }
  if (first !== 0x5c) return undefined;
  const brackets = BRACKETS.exec(source);
  const match = brackets ?? PARENTHESES.exec(source);
  return match ? { raw: match[0], text: match[1] ?? '', display: brackets !== null } : undefined;
}

/** Hides the stars and underscores of formulas from the search for emphasis; the length stays. */
export function maskMath(source: string): string {
  if (!source.includes('$')) return source;
  return source.replace(MASKABLE, (formula) => `[${'a'.repeat(formula.length - 2)}]`);
}

/**
 * Whether the first `length` characters of `source` open a block formula that text still to come may close. They
 * cannot be called stable then: what looks like paragraphs, lists and headings may turn out to be TeX.
 */
export function opensBlockMath(source: string, length: number): boolean {
  OPENERS.lastIndex = 0;
  for (let match = OPENERS.exec(source); match !== null; match = OPENERS.exec(source)) {
    if (match.index >= length) return false;
    const from = match.index + match[0].length;
    const rest = source.slice(from, from + MAX_MATH + 2);
    const close = rest.search(match[1] === '$$' ? /\$\$[ \t]*(?:\n|$)/ : /\\\][ \t]*(?:\n|$)/);
    // Marks on lines of their own may have blank lines between them.
    const blank = match[2] === undefined ? rest.search(/\n[ \t]*\n/) : -1;
    const closed = close >= 0 && (blank < 0 || close < blank);
    if (!closed && blank < 0 && rest.length <= MAX_MATH) return true;
    OPENERS.lastIndex = closed ? from + close + 2 : from;
  }
  return false;
}

function content(written: string): { text: string; unfinished: boolean } {
  const text = written.trim();
  const unfinished = text.endsWith(UNFINISHED);
  return { text: unfinished ? text.slice(0, -1).trimEnd() : text, unfinished };
}

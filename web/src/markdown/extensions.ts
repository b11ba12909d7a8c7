import type { Lexer, Token, TokenizerAndRendererExtension } from 'marked';

/** What folds out: `<details>`. Its summary is inline text; null where it has none. */
export interface Details {
  type: 'details';
  raw: string;
  summary: Token[] | null;
  tokens: Token[];
  /** Its end has not come (yet). */
  unclosed: boolean;
}

/** What `[^label]:` defines. */
export interface Footnote {
  type: 'footnote';
  raw: string;
  label: string;
  tokens: Token[];
}

/** `[^label]` within a text: the mark of a footnote, if there is one of this label. */
export interface NoteMark {
  type: 'note_mark';
  raw: string;
  label: string;
}

const LABEL = '\\[\\^([^\\s\\[\\]^]{1,100})\\]';
const DEFINITION = new RegExp(`^ {0,3}${LABEL}:[ \\t]*`);
const DEFINITION_LINE = new RegExp(`\\n {0,3}${LABEL}:`);
const MARK = new RegExp(`^${LABEL}(?!\\()`);

/** A footnote's text: the lines up to a blank one, and the indented lines after it. */
export const footnote: TokenizerAndRendererExtension = {
  name: 'footnote',
  level: 'block',
  start(source) {
    if (!source.includes('[^')) return undefined;
    const blank = source.indexOf('\n\n');
    const at = (blank < 0 ? source : source.slice(0, blank)).search(DEFINITION_LINE);
    return at < 0 ? undefined : at + 1;
  },
  tokenizer(source): Footnote | undefined {
    const opener = DEFINITION.exec(source);
    if (opener === null) return undefined;
    const { length, text } = noteLines(source, opener[0].length);
    const tokens = readBlocks(this.lexer, text);
    return { type: 'footnote', raw: source.slice(0, length), label: opener[1] ?? '', tokens };
  },
};

export const noteMark: TokenizerAndRendererExtension = {
  name: 'note_mark',
  level: 'inline',
  tokenizer(source): NoteMark | undefined {
    if (!source.startsWith('[^')) return undefined;
    const match = MARK.exec(source);
    return match ? { type: 'note_mark', raw: match[0], label: match[1] ?? '' } : undefined;
  },
};

function noteLines(source: string, from: number): { length: number; text: string } {
  const taken: string[] = [];
  let length = 0;
  let blank = false;
  for (let at = from; at < source.length || taken.length === 0; ) {
    const feed = source.indexOf('\n', at);
    const end = feed < 0 ? source.length : feed;
    const line = source.slice(at, end);
    const first = taken.length === 0;
    if (!first && line.trim() !== '') {
      if (blank && !/^(?: {2}|\t)/.test(line)) break;
      if (!blank && DEFINITION.test(line)) break;
    }
    blank = line.trim() === '';
    taken.push(first ? line : line.replace(/^(?: {1,4}|\t)/, ''));
    // Blank lines belong to it only if something follows.
    if (!blank || first) length = feed < 0 ? end : feed + 1;
    if (feed < 0) break;
    at = feed + 1;
  }
  return { length, text: taken.join('\n').trim() };
}

function readBlocks(lexer: Lexer, text: string): Token[] {
  const { top } = lexer.state;
  lexer.state.top = true;
  try {
    return lexer.blockTokens(text, []);
  } finally {
    lexer.state.top = top;
  }
}

const OPENS = /^ {0,3}<details(?:\s[^<>]{0,300})?>[ \t]*\n?/i;
const SUMMARY = /^\s*<summary(?:\s[^<>]{0,300})?>([\s\S]{0,2000}?)(?:<\/summary>|\n[ \t]*(?:\n|$)|$)/i;
const TAG_OR_FENCE = /<(\/?)details(?:\s[^<>]{0,300})?>|`[^`\n]*`/gi;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;

/** Whether a text begins with `<details>`. */
export function opensDetails(source: string): boolean {
  return OPENS.test(source);
}

/** Reads the `<details>` that a text begins with. */
export function readDetails(source: string, lexer: Lexer): Details {
  const opener = OPENS.exec(source)?.[0] ?? '';
  const { inner, end } = endOfDetails(source, opener.length);
  const content = source.slice(opener.length, inner);
  const summary = SUMMARY.exec(content);
  const rest = content.slice(summary?.[0].length ?? 0).replace(/^(?:[ \t]*\n)+/, '');
  return {
    type: 'details',
    raw: source.slice(0, end),
    summary: summary ? lexer.inline((summary[1] ?? '').trim()) : null,
    tokens: readBlocks(lexer, rest),
    unclosed: inner === end,
  };
}

/** Where the content ends, and where its closing tag and line end. Both are the text's end where it has no close. */
function endOfDetails(source: string, from: number): { inner: number; end: number } {
  let depth = 1;
  let fence: string | undefined;
  for (let at = from; at < source.length; ) {
    const feed = source.indexOf('\n', at);
    const lineEnd = feed < 0 ? source.length : feed;
    const line = source.slice(at, lineEnd);
    const mark = FENCE.exec(line)?.[1];
    if (fence !== undefined) {
      if (mark?.startsWith(fence) && line.trim() === mark) fence = undefined;
    } else if (mark !== undefined) {
      fence = mark;
    } else {
      for (const match of line.matchAll(TAG_OR_FENCE)) {
        if (match[1] === undefined) continue;
        depth += match[1] === '/' ? -1 : 1;
        if (depth > 0) continue;
        const inner = at + match.index;
        const behind = inner + match[0].length;
        const line = /^[ \t]*(?:\n|$)/.exec(source.slice(behind, behind + 200))?.[0].length ?? 0;
        return { inner, end: behind + line };
      }
    }
    at = lineEnd + 1;
  }
  return { inner: source.length, end: source.length };
}

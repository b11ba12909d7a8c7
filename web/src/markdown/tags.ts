import type { Token, Tokens } from 'marked';

/** Words between two tags that are known: `<sub>2</sub>`. Its element is made by its name; nothing else is taken. */
export interface TagElement {
  type: 'element';
  raw: string;
  name: TagName;
  tokens: Token[];
}

/** The tags that a reader is better with, and the element of each. */
const TAGS = {
  b: 'b',
  strong: 'strong',
  i: 'i',
  em: 'em',
  u: 'u',
  s: 's',
  strike: 's',
  del: 'del',
  ins: 'ins',
  mark: 'mark',
  small: 'small',
  sub: 'sub',
  sup: 'sup',
  kbd: 'kbd',
  code: 'code',
  samp: 'samp',
  var: 'var',
} as const;
export type TagName = (typeof TAGS)[keyof typeof TAGS];

const NAMES = Object.keys(TAGS);
const OPEN = new RegExp(`^<(${NAMES.join('|')})(?:\\s[^<>]*)?>$`, 'i');
const CLOSE = new RegExp(`^</(${NAMES.join('|')})\\s*>$`, 'i');
const STARTS = new RegExp(`^ {0,3}</?(?:${NAMES.join('|')}|br)(?:\\s[^<>]*)?/?>`, 'i');
/** Tags within each other: deeper ones are text. */
const MAX_DEPTH = 12;
/** Names of tags that may be half typed. */
const TYPED = [...NAMES, 'br', 'details', 'summary'];
/** A longer half tag is text. */
const MAX_HALF_TAG = 60;

/** The name of the tag that this opens, or null. */
export function openedTag(tag: string): string | null {
  return OPEN.exec(tag)?.[1]?.toLowerCase() ?? null;
}

/** The name of the tag that this closes, or null. */
export function closedTag(tag: string): string | null {
  return CLOSE.exec(tag)?.[1]?.toLowerCase() ?? null;
}

/** Whether a line begins with a tag that stands within words: it begins a paragraph, not a block of HTML. */
export function startsWithTag(source: string): boolean {
  return STARTS.test(source);
}

/** Whether a text is the beginning of a tag that is known: `</su`. */
export function isHalfTag(text: string): boolean {
  if (text.length > MAX_HALF_TAG || text.includes('>')) return false;
  const [, name, rest] = /^<\/?([a-z]*)(.*)$/is.exec(text) ?? [];
  if (name === undefined || rest === undefined) return false;
  if (rest === '' || rest === '/') return TYPED.some((known) => known.startsWith(name.toLowerCase()));
  return /^\s/.test(rest) && TYPED.includes(name.toLowerCase());
}

const LINE_BREAK = /^<br\s*\/?>$/i;

/** Whether this is a tag that breaks the line. */
export function isLineBreak(tag: string): boolean {
  return LINE_BREAK.test(tag);
}

/** A break that stands beside the end of a line is one break, not two. */
function joinBreaks(tokens: Token[]): void {
  for (const [index, token] of tokens.entries()) {
    if (!isTag(token) || !isLineBreak(token.raw)) continue;
    const before = tokens[index - 1];
    const after = tokens[index + 1];
    if (before?.type === 'text') before.text = before.text.replace(/\n[ \t]*$/, '');
    if (after?.type === 'text') after.text = after.text.replace(/^[ \t]*\n/, '');
  }
}

/** Puts what stands between two tags within one token. A tag without its other half stays as it is written. */
export function nestTags(tokens: Token[]): Token[] {
  if (!tokens.some(isTag)) return tokens;
  joinBreaks(tokens);
  const open: { name: string; at: number }[] = [];
  const nested: Token[] = [];
  for (const token of tokens.splice(0)) {
    nested.push(token);
    if (!isTag(token)) continue;
    const opened = openedTag(token.raw);
    if (opened !== null) {
      if (open.length < MAX_DEPTH) open.push({ name: opened, at: nested.length - 1 });
      continue;
    }
    const closed = closedTag(token.raw);
    const match = closed === null ? -1 : open.findLastIndex(({ name }) => name === closed);
    const from = open[match]?.at;
    if (from === undefined || closed === null) continue;
    open.length = match;
    const taken = nested.splice(from);
    nested.push({
      type: 'element',
      raw: taken.map(({ raw }) => raw).join(''),
      name: TAGS[closed as keyof typeof TAGS],
      tokens: taken.slice(1, -1),
    } satisfies TagElement);
  }
  tokens.push(...nested);
  return tokens;
}

function isTag(token: Token): token is Tokens.Tag {
  return token.type === 'html' && token.block === false;
}

/**
 * Long blocks are read as several: what is before the cut is certain, so it is neither read again nor laid out again
 * while the text goes on.
 *
 * **Invariant:** where a block is cut depends on the text up to the cut and on nothing after it.
 */

/** Characters of a paragraph that are read at once. */
export const MAX_PARAGRAPH = 4_000;
/** A list is cut at the first item after this many characters. */
const LONG_LIST = 4_000;
/** Where a cut is looked for: this many characters before the end. */
const WINDOW = 1_000;

const BULLET = /^( {0,3})(?:([*+-])|(\d{1,9})([.)]))[ \t]/;

/** How much of a paragraph is its first part, or undefined where the paragraph is short enough. */
export function paragraphCut(source: string): number | undefined {
  if (source.length <= MAX_PARAGRAPH) return undefined;
  const blank = source.slice(0, MAX_PARAGRAPH).search(/\n[ \t]*\n/);
  if (blank >= 0) return undefined;
  const from = MAX_PARAGRAPH - WINDOW;
  const window = source.slice(from, MAX_PARAGRAPH);
  const cut =
    // After a sentence, after a word, between letters: what follows must not look like the beginning of a list or so.
    lastEnd(window, /[.!?。！？]["'”’)]?\s+(?=\p{L})|[。！？](?=\p{L})/gu) ??
    lastEnd(window, /\s+(?=\p{L})/gu) ??
    lastEnd(window, /\p{L}(?=\p{L})/gu);
  if (cut !== undefined) return from + cut;
  // Never between the halves of a character.
  return /[\ud800-\udbff]$/.test(window) ? MAX_PARAGRAPH - 1 : MAX_PARAGRAPH;
}

function lastEnd(text: string, pattern: RegExp): number | undefined {
  let end: number | undefined;
  for (const match of text.matchAll(pattern)) end = match.index + match[0].length;
  return end;
}

/** Where a long list is cut: before an item of the same kind, or behind the text where it is not long. */
export function listCut(source: string): number {
  if (source.length <= LONG_LIST) return source.length;
  const first = BULLET.exec(source);
  if (first === null) return source.length;
  for (let line = source.indexOf('\n', LONG_LIST); line >= 0; line = source.indexOf('\n', line + 1)) {
    const next = BULLET.exec(source.slice(line + 1, line + 20));
    if (next === null || next[1] !== first[1] || next[2] !== first[2] || next[4] !== first[4]) continue;
    // A list that counts by repeating its first number would begin again.
    if (first[3] === undefined || Number(next[3]) > Number(first[3])) return line + 1;
  }
  return source.length;
}

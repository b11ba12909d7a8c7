/** What leaves nothing to be seen: white space, control and format characters, fillers. The server's list (text.rs). */
const VISIBLE = /[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}\u{16fe4}\ufff9-\ufffb]/u;

/** Whether there is nothing in a text that could be seen. */
export function isBlank(text: string): boolean {
  return !VISIBLE.test(text);
}

/** The text with U+FFFD for each half of a surrogate pair that stands alone: no encoding knows these. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

let segmenter: Intl.Segmenter | null | undefined;

/** The characters of a text as people see them; in a browser that can't tell (Firefox before 125), code points. */
export function characters(text: string): Iterable<string> {
  segmenter ??= 'Segmenter' in Intl ? new Intl.Segmenter(undefined, { granularity: 'grapheme' }) : null;
  if (segmenter === null) return text;
  const segments = segmenter.segment(text);
  return (function* () {
    for (const { segment } of segments) yield segment;
  })();
}

/**
 * The beginning of a text that has at most so many UTF-16 units, cut between two characters as people see them. One
 * that is longer than that all by itself is cut within, between code points.
 */
export function prefix(text: string, most: number): string {
  if (text.length <= most) return text;
  let end = 0;
  // What comes later has no say in where the first ones end, but for the very next.
  for (const character of characters(text.slice(0, 2 * most + 2))) {
    if (end + character.length > most) break;
    end += character.length;
  }
  if (end > 0) return text.slice(0, end);
  const [low, high] = [text.charCodeAt(most), text.charCodeAt(most - 1)];
  const isWithinPair = low >= 0xdc00 && low < 0xe000 && high >= 0xd800 && high < 0xdc00;
  return text.slice(0, isWithinPair ? most - 1 : most);
}

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

/** The characters of a text as people see them; in a browser that can't tell (Firefox before 125), code points. */
export function characters(text: string): string[] {
  if (!('Segmenter' in Intl)) return [...text];
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

/**
 * The beginning of a text that has at most so many UTF-16 units, cut between two characters as people see them. One
 * that is longer than that all by itself is cut within, between code points.
 */
export function prefix(text: string, most: number): string {
  if (text.length <= most) return text;
  let cut = '';
  // Where a character ends, what comes much later has no say in.
  for (const character of characters(text.slice(0, 2 * most))) {
    if (cut.length + character.length > most) break;
    cut += character;
  }
  return cut || text.slice(0, most).replace(/\p{Surrogate}$/u, '');
}

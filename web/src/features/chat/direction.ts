const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT =
  /[\p{Script=Adlam}\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Mandaic}\p{Script=Nko}\p{Script=Samaritan}\p{Script=Syriac}\p{Script=Thaana}]/u;
/** So many characters are searched for a letter. */
const LOOK = 2_000;

/**
 * The direction of a text by its first letter; null where none has come yet.
 *
 * For an answer in the place of `dir="auto"`, which costs the style and layout of all of it at each change.
 */
export function directionOf(text: string): 'ltr' | 'rtl' | null {
  const letter = LETTER.exec(text.slice(0, LOOK))?.[0];
  if (letter === undefined) return null;
  return RIGHT_TO_LEFT.test(letter) ? 'rtl' : 'ltr';
}

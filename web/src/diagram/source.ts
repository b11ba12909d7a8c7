/** What makes a style fetch something. */
const FETCHES = /\b(?:url|image-set)\s*\(/i;
/** Letters by number, as styles, JSON and YAML write them: what they spell is not looked for in every form. */
const ENCODED = /\\(?:[ux][\da-f]|\d)/i;
/** What opens a tag that says more than words: an attribute with a value, a comment, a declaration. */
const OPENS_MARKUP = /<(?=[a-z/!?])(?!\/?[\w\s-]+\/?>)/gi;

/**
 * The source as the library may have it, or null where it asks for something that a diagram does not need. Tags with
 * attributes become the text that they are; plain ones (`<br>`) stay.
 */
export function harmless(source: string): string | null {
  if (FETCHES.test(source) || ENCODED.test(source)) return null;
  return source.replace(OPENS_MARKUP, '#lt;');
}

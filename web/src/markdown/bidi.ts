import { element } from './element';

/**
 * Characters that reorder the text around them. In code they can make it read differently from what runs
 * (CVE-2021-42574), so each is shown as a badge and kept from acting on its neighbours.
 */
const NAMES: Readonly<Record<string, string>> = {
  '\u061c': 'U+061C',
  '\u200e': 'U+200E',
  '\u200f': 'U+200F',
  '\u202a': 'U+202A',
  '\u202b': 'U+202B',
  '\u202c': 'U+202C',
  '\u202d': 'U+202D',
  '\u202e': 'U+202E',
  '\u2066': 'U+2066',
  '\u2067': 'U+2067',
  '\u2068': 'U+2068',
  '\u2069': 'U+2069',
};
const CONTROL = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
const CONTROLS = new RegExp(`(${CONTROL.source})`);

export function hasBidiControl(text: string): boolean {
  return CONTROL.test(text);
}

/** Appends text; a bidi control becomes an isolated element whose badge names it. The text content stays the same. */
export function appendCodeText(parent: Node, text: string): void {
  if (!CONTROL.test(text)) {
    const last = parent.lastChild;
    if (last instanceof Text) last.appendData(text);
    else parent.appendChild(document.createTextNode(text));
    return;
  }
  for (const piece of text.split(CONTROLS)) {
    const name = NAMES[piece];
    if (name !== undefined) {
      const badge = element('span', 'bidi-control');
      badge.setAttribute('role', 'img');
      badge.setAttribute('aria-label', name);
      badge.dataset.name = name;
      badge.textContent = piece;
      parent.appendChild(badge);
    } else if (piece !== '') {
      parent.appendChild(document.createTextNode(piece));
    }
  }
}

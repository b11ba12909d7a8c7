import { element, setText } from './element';

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
const CONTROLS = new RegExp(CONTROL.source, 'g');

export function hasBidiControl(text: string): boolean {
  return CONTROL.test(text);
}

/** Letters that are written from right to left. Among them the three invisible marks of a direction are of use. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const BEYOND_MARKS = /[\u202a-\u202e\u2066-\u2069]/;

/** Whether words may read differently from what they are. */
export function misleads(text: string): boolean {
  return CONTROL.test(text) && (BEYOND_MARKS.test(text) || !RIGHT_TO_LEFT.test(text));
}

/** Badges in one text: after that a control is shown as U+FFFD, which reorders nothing either. */
const MAX_BADGES = 200;

/** Appends text; a bidi control becomes an isolated element whose badge names it. The text content stays the same. */
export function appendCodeText(parent: Node, text: string): void {
  if (!CONTROL.test(text)) {
    appendText(parent, text);
    return;
  }
  let badges = 0;
  let from = 0;
  for (const { index, 0: control } of text.matchAll(CONTROLS)) {
    // The rest in one piece: a text node that grows by single letters costs their square.
    if (++badges > MAX_BADGES) break;
    appendText(parent, text.slice(from, index));
    parent.appendChild(badgeOf(NAMES[control] ?? '', control));
    from = index + control.length;
  }
  appendText(parent, text.slice(from).replace(CONTROLS, '\ufffd'));
}

function appendText(parent: Node, text: string): void {
  if (text === '') return;
  const last = parent.lastChild;
  if (last instanceof Text) last.appendData(text);
  else parent.appendChild(document.createTextNode(text));
}

function badgeOf(name: string, control: string): HTMLElement {
  const badge = element('span', 'bidi-control');
  badge.setAttribute('role', 'img');
  badge.setAttribute('aria-label', name);
  badge.dataset.name = name;
  badge.textContent = control;
  return badge;
}

/** Shows code in an element, each bidi control as a badge. */
export function setCodeText(holder: Element, text: string): void {
  if (!CONTROL.test(text)) {
    setText(holder, text);
    return;
  }
  holder.replaceChildren();
  appendCodeText(holder, text);
}

/** Shows words in an element; bidi controls as badges where they may mislead. */
export function setReadableText(holder: Element, text: string): void {
  if (misleads(text)) setCodeText(holder, text);
  else setText(holder, text);
}

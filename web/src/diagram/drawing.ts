/** What a drawing is better without. Text within `foreignObject` has a plain twin where the library knows of one. */
const DROPPED = 'script, image, foreignObject, feImage, iframe, object, embed, animate, set';
const ADDRESSES = new Set(['href', 'src', 'srcset']);
/** A style that fetches: a function of an address which is no place in the drawing, or another stylesheet. */
const FETCHES = /url\s*\(\s*["']?\s*(?!["'#\s])|image-set\s*\(|@import/i;

/**
 * The library's text as a node of this document.
 *
 * **Invariant:** nothing in it acts or leads anywhere: no script, no handler, no picture, no address but places in
 * the drawing itself. Throws where that would take more than leaving something out.
 */
export function parseDrawing(svg: string): SVGElement {
  const root = new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement;
  if (!(root instanceof SVGElement) || root.localName !== 'svg') throw new TypeError('not a drawing');
  for (const link of root.querySelectorAll('a')) link.replaceWith(...link.childNodes);
  for (const dropped of root.querySelectorAll(DROPPED)) dropped.remove();
  for (const element of [root, ...root.querySelectorAll('*')]) {
    const danger = dangerOf(element);
    if (danger !== undefined) throw new TypeError(`a drawing with ${danger}`);
  }
  return document.importNode(root, true);
}

function dangerOf(element: Element): string | undefined {
  if (element.localName === 'style' && FETCHES.test(element.textContent ?? '')) return 'a style that fetches';
  for (const { name, localName, value } of element.attributes) {
    if (/^on/i.test(localName)) return name;
    if (ADDRESSES.has(localName.toLowerCase()) && !value.startsWith('#')) return name;
    if (FETCHES.test(value)) return `${name} that fetches`;
  }
  return undefined;
}

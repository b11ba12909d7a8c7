import { beforeAll, describe, expect, test, vi } from 'vitest';
import { ATTACKS, HEAVY, MISLEADING } from '../../fixtures/attacks';
import { cut, render, seeded, shown } from './support';

/** Elements that an answer is made of; KaTeX draws with its own, within `.katex`. */
const ELEMENTS = new Set(
  (
    'a b blockquote br button code del details div em h3 h4 h5 h6 hr i iframe input ins kbd li mark ol p path pre ' +
    's samp section small span strong sub summary sup svg table tbody td th thead tr u ul var'
  ).split(' '),
);
const ATTRIBUTES = new Set(
  (
    'aria-hidden aria-label aria-live aria-pressed checked class data-name dir disabled href id open rel role scope ' +
    'start tabindex target title type'
  ).split(' '),
);
const FRAME_ATTRIBUTES = {
  class: 'diagram',
  sandbox: 'allow-scripts',
  loading: 'lazy',
  height: '48',
  src: '/diagram.html',
};
/** What KaTeX adds to draw. `style` is sizes only, set through the object model. */
const DRAWN_ATTRIBUTES =
  /^(?:aria-hidden|class|style|xmlns|encoding|display|math[a-z]+|width|height|viewBox|preserveAspectRatio|d|stretchy|fence|separator|lspace|rspace|accent|columnalign|columnspacing|rowspacing|scriptlevel|displaystyle|minsize|maxsize|voffset|linethickness|data-mjx-[a-z]+)$/;

/** What in a rendered message must not be there. */
function faults(root: HTMLElement): string[] {
  const found: string[] = [];
  for (const element of root.querySelectorAll('*')) {
    const drawn = element.closest('.katex') !== null;
    const name = element.localName;
    if (!drawn && !ELEMENTS.has(name)) found.push(`element ${name}`);
    if (/^(?:script|img|image|iframe|object|embed|form|style|link|meta|base|use|a)$/.test(name) && drawn) {
      found.push(`element ${name} in a formula`);
    }
    for (const { name: attribute, value } of element.attributes) {
      if (attribute.startsWith('on')) found.push(`attribute ${attribute}`);
      const expected =
        name === 'iframe' ? FRAME_ATTRIBUTES[attribute as keyof typeof FRAME_ATTRIBUTES] : undefined;
      if (expected === value) continue;
      if (drawn ? !DRAWN_ATTRIBUTES.test(attribute) : !ATTRIBUTES.has(attribute)) {
        found.push(`attribute ${attribute} of ${name}`);
      }
      if (attribute === 'style' && /url|expression|@import|position:\s*fixed/i.test(value))
        found.push(`style ${value}`);
    }
    // What is drawn is the page's own, and so is what an id names.
    if (name === 'svg' && element.closest('.alert-title') === null) found.push('a drawing');
    if (element.id !== '' && !/^note-\d+-(?:mark-)?\d+(?:-\d+)?$/.test(element.id))
      found.push(`id ${element.id}`);
    if (element instanceof HTMLAnchorElement && element.closest('.note-mark, .note-back') !== null) {
      if (!/^#note-\d+-/.test(element.getAttribute('href') ?? '')) found.push(`address ${element.href}`);
    } else if (element instanceof HTMLAnchorElement) {
      if (!/^(?:https?:\/\/|mailto:)/.test(element.href)) found.push(`address ${element.href}`);
      if (element.getAttribute('href') !== element.href)
        found.push('an address that the browser reads otherwise');
      if (element.rel !== 'noopener noreferrer nofollow' || element.target !== '_blank')
        found.push('a link that is not apart');
      if (element.parentElement?.closest('a') !== null) found.push('a link in a link');
    }
  }
  return found;
}

beforeAll(async () => {
  // Formulas are drawn only once the library is there; the attacks must meet it.
  const root = render(['$x$']);
  await vi.waitFor(() => expect(root.querySelector('.katex')).not.toBeNull(), { timeout: 30_000 });
});

test('there are enough attacks, and no two are the same', () => {
  expect(new Set(ATTACKS).size).toBe(ATTACKS.length);
  expect(ATTACKS.length).toBeGreaterThanOrEqual(200);
});

test.each(ATTACKS)('%j shows only what an answer is made of', (attack) => {
  const random = seeded(attack.length);
  const seen: string[] = [];
  for (const pieces of [[attack], [`Before.\n\n${attack}\n\nAfter.`], cut(attack, 4, random)]) {
    const root = render(pieces, (live) => seen.push(...faults(live)));
    seen.push(...faults(root));
  }
  expect(seen).toEqual([]);
});

test('an attack that got through would be seen', () => {
  const root = document.createElement('div');
  const image = document.createElement('img');
  image.setAttribute('onerror', 'x');
  const link = document.createElement('a');
  link.setAttribute('href', 'javascript:x');
  link.setAttribute('style', 'position: fixed');
  root.append(image, link);
  expect(faults(root)).toEqual([
    'element img',
    'attribute onerror',
    'attribute onerror of img',
    'attribute style of a',
    'style position: fixed',
    'address javascript:x',
    'a link that is not apart',
  ]);
});

test.each(MISLEADING)('$text says that it leads to $destination', ({ text, destination }) => {
  const link = render([text]).querySelector('a');
  expect(link?.querySelector('.link-destination')?.textContent).toBe(` (${destination})`);
});

describe('text that is made to be slow', () => {
  // A reading whose cost is exponential, or the square of the length, would not end within the time of a test.
  test.each(HEAVY)(
    '$name is shown, and not deeper than a page can bear',
    ({ text }) => {
      expect(depthOf(render([text]))).toBeLessThan(60);
    },
    20_000,
  );

  test.each(HEAVY)(
    '$name is the same in pieces',
    ({ text }) => {
      const part = text.slice(0, 3_000);
      expect(shown(render(cut(part, 1_000, seeded(3))))).toBe(shown(render([part])));
    },
    20_000,
  );
});

function depthOf(root: Element): number {
  let deepest = 0;
  for (const element of root.querySelectorAll('*')) {
    if (element.firstElementChild !== null) continue;
    let depth = 0;
    for (let at: Element | null = element; at !== null && at !== root; at = at.parentElement) depth++;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

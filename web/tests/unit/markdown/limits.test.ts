import { beforeAll, describe, expect, test, vi } from 'vitest';
import { Budget, Pace } from '$/markdown/budget';
import { listCut, paragraphCut } from '$/markdown/long';
import { isDrawable, isShowable } from '$/markdown/math_limits';
import { MarkdownRenderer } from '$/markdown/renderer';
import { HOSTILE } from '../../fixtures/hostile';
import { cut, Frames, render, seeded, shown } from './support';

/** Of each text; a page shows 64,000 characters of it in the test that measures. */
const LENGTH = 6_000;
/** A page bears more; deeper is a sign that something nests without a bound. */
const MAX_DEPTH = 450;

function depthOf(root: Element): number {
  let deepest = 0;
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT);
  let depth = 0;
  for (let node: Node | null = walk.currentNode; node !== null; ) {
    if (walk.firstChild()) depth++;
    else {
      while (!walk.nextSibling()) {
        if (walk.parentNode() === null) return deepest;
        depth--;
      }
    }
    deepest = Math.max(deepest, depth);
    node = walk.currentNode;
  }
  return deepest;
}

beforeAll(async () => {
  // The texts must meet the library of formulas and its chemistry.
  const root = render(['$x$ $\\ce{H2O}$']);
  await vi.waitFor(() => expect(root.querySelectorAll('.katex').length).toBe(2), { timeout: 60_000 });
});

describe.each(HOSTILE)('$name', ({ text }) => {
  test('no tree is too deep, no letter is lost, and in pieces it is the same', () => {
    const whole = text(LENGTH);
    const root = render([whole]);
    expect(depthOf(root)).toBeLessThan(MAX_DEPTH);
    // Elements are made of characters: none makes more of them than a formula's do.
    expect(root.querySelectorAll('*').length).toBeLessThan(whole.length * 8 + 200);
    expect(shown(render(cut(whole, 1_500, seeded(5))))).toBe(shown(root));
  });
});

describe('formulas', () => {
  const deep = (open: string, close: string, depth: number) => `${open.repeat(depth)}x${close.repeat(depth)}`;

  test.each([
    ['roots', deep('\\sqrt{', '}', 150)],
    ['powers', deep('x^{', '}', 150)],
    ['indices', deep('x_{', '}', 150)],
    ['fractions', deep('\\frac{1}{', '}', 150)],
    ['fences', deep('\\left(', '\\right)', 150)],
    ['environments', deep('\\begin{matrix}', '\\end{matrix}', 150)],
    ['groups', deep('{', '}', 150)],
    ['roots without braces', `${'\\sqrt'.repeat(150)} x`],
    ['fractions without braces', `${'\\frac1'.repeat(150)}2`],
    ['accents', `${'\\hat'.repeat(150)} x`],
    ['powers without braces', `x${'^x'.repeat(150)}`],
    ['texts', deep('\\text{', '}', 150)],
    ['letters', 'x+'.repeat(1_000)],
    ['cells', `\\begin{matrix}${'a&'.repeat(1_500)}\\end{matrix}`],
    ['a macro', `\\def\\a{${'x'.repeat(500)}}\\a`],
    ['a command', `\\newcommand{\\a}[1]{#1#1#1#1}\\a{\\a{\\a{x}}}`],
    ['roots in roots, some apart', deep('\\sqrt{1+', '}', 150)],
  ])('%s: what is too much is shown as it is written', (_, tex) => {
    expect(isDrawable(tex)).toBe(false);
    for (const written of [`$$\n${tex}\n$$`, `a $${tex}$ b`]) {
      const root = render([written]);
      expect(root.querySelector('.katex')).toBeNull();
      expect(root.textContent).toContain(tex);
    }
  });

  test.each([
    deep('\\sqrt{', '}', 30),
    deep('x^{', '}', 35),
    '\\alpha\\beta\\gamma\\delta\\epsilon\\zeta\\eta\\theta',
    `\\begin{align}${'a &= \\frac{b}{c} + \\sqrt{d} \\\\ '.repeat(20)}\\end{align}`,
  ])('%s is drawn', (tex) => {
    expect(isDrawable(tex)).toBe(true);
    expect(render([`$$\n${tex}\n$$`]).querySelector('.katex')).not.toBeNull();
  });

  test('what was drawn too deep or too large is not shown', () => {
    const root = document.createElement('div');
    let at = root;
    for (let depth = 0; depth < 1_000; depth++) at = at.appendChild(document.createElement('div'));
    expect(isShowable(root)).toBe(false);
    const wide = document.createElement('div');
    for (let count = 0; count < 6_000; count++) wide.append(document.createElement('i'));
    expect(isShowable(wide)).toBe(false);
    wide.replaceChildren(document.createElement('i'));
    expect(isShowable(wide)).toBe(true);
  });

  test('of an answer have an end: the rest is source', () => {
    const root = render([Array.from({ length: 800 }, () => '$x$').join('\n\n')]);
    expect(root.querySelectorAll('.katex').length).toBe(700);
    expect(root.querySelectorAll('.math-source').length).toBe(100);
  });
});

test('diagrams of an answer have an end', () => {
  const root = render(['```mermaid\ngraph TD\nA-->B\n```\n\n'.repeat(60)]);
  expect(root.querySelectorAll('iframe').length).toBe(24);
  expect(root.querySelectorAll('.code-block').length).toBe(60);
});

test('blocks of code with a bar have an end: the rest is bare, and whole', () => {
  const root = render([Array.from({ length: 520 }, (_, n) => `\`\`\`js\nlet a${n}\n\`\`\``).join('\n\n')]);
  expect(root.querySelectorAll('.code-block').length).toBe(500);
  expect([...root.querySelectorAll('pre.bare')].map((code) => code.textContent).at(-1)).toBe('let a519');
  expect(root.querySelectorAll('pre').length).toBe(520);
});

test('many marks of a direction are one piece of text, and none of them acts', () => {
  const code = render([`\`\`\`c\n${'a\u202e'.repeat(1_500)}\n\`\`\``]).querySelector('pre');
  expect(code?.querySelectorAll('.bidi-control').length).toBe(200);
  expect(code?.textContent).toBe(`${'a\u202e'.repeat(200)}${'a\ufffd'.repeat(1_300)}`);
});

test('the first number of a list is written once', () => {
  const written: string[] = [];
  const observer = new MutationObserver((changes) => {
    for (const { attributeName, target } of changes)
      if (attributeName === 'start') written.push((target as Element).tagName);
  });
  const text = Array.from({ length: 40 }, (_, n) => `${n + 5}. item`).join('\n');
  render(cut(text, 30, seeded(1)), (live) =>
    observer.observe(live, { subtree: true, childList: true, attributes: true }),
  );
  for (const { attributeName, target } of observer.takeRecords())
    if (attributeName === 'start') written.push((target as Element).tagName);
  expect(written.length).toBeLessThanOrEqual(1);
});

describe('tables', () => {
  test.each([
    ['many cells', `|${'a|'.repeat(30)}\n|${'-|'.repeat(30)}\n${`|${'b|'.repeat(30)}\n`.repeat(1_000)}`],
    ['many columns and short rows', `|${'a|'.repeat(900)}\n|${'-|'.repeat(900)}\n${'|b\n'.repeat(900)}`],
  ])('%s: shown as written, with a way to copy it', (_, text) => {
    const root = render([`${text}\nAfter.\n`]);
    expect(root.querySelector('table')).toBeNull();
    expect(root.querySelector('.code-block pre')?.textContent).toBe(text.trimEnd());
    expect(root.querySelector(':scope > p')?.textContent).toBe('After.');
  });

  test('of a hundred rows is a table', () => {
    expect(render([`|a|b|\n|-|-|\n${'|c|d|\n'.repeat(100)}`]).querySelectorAll('td').length).toBe(200);
  });
});

describe('long blocks', () => {
  test('a paragraph is read in parts, none of its text is lost, and what is done stays', () => {
    const words = Array.from({ length: 4_000 }, (_, index) => `word${index}`).join(' ');
    const first = new Set<Node>();
    const root = render(cut(words, 400, seeded(2)), (live) => {
      if (live.children.length > 1 && live.firstChild) first.add(live.firstChild);
    });
    expect(first.size).toBe(1);
    expect(root.children.length).toBeGreaterThan(5);
    expect(root.textContent?.replace(/\s+/g, ' ')).toBe(words);
    for (const part of [...root.children].slice(0, -1)) expect(part.className).toBe('cut');
  });

  test.each([
    ['x'.repeat(9_000), 4_000],
    ['語'.repeat(9_000), 4_000],
    [`${'words. '.repeat(1_000)}`, 3_997],
    [`a${'👩'.repeat(3_000)}`, 3_999],
    ['- - '.repeat(2_000), 4_000],
  ])('a cut stands where nothing changes its meaning (%#)', (text, most) => {
    const at = paragraphCut(text);
    expect(at).toBeGreaterThan(2_900);
    expect(at).toBeLessThanOrEqual(most);
    expect(text.slice(0, at)).not.toMatch(/\p{Surrogate}/u);
  });

  test('a list is cut between two items, and its numbers go on', () => {
    const text = Array.from({ length: 1_200 }, (_, index) => `${index + 1}. item`).join('\n');
    expect(text.slice(listCut(text))).toMatch(/^\d+\. item\n/);
    const lists = [...render([text]).querySelectorAll('ol')];
    expect(lists.length).toBeGreaterThan(1);
    let next = 1;
    for (const list of lists) {
      expect(list.start).toBe(next);
      next += list.children.length;
    }
    expect(next).toBe(1_201);
  });

  test('a list that counts by ones is not cut: it would begin again', () => {
    expect(render(['1. item\n'.repeat(2_000)]).querySelectorAll('ol').length).toBe(1);
  });
});

describe('slices', () => {
  test('a render that takes long goes on in the next frames, and shows all in the end', () => {
    const frames = new Frames();
    let now = 0;
    globalThis.performance = Object.create(globalThis.performance, { now: { value: () => now } });
    try {
      const root = document.createElement('div');
      // Each look at the layout takes 30 ms: longer than a slice.
      Object.defineProperty(root, 'offsetHeight', {
        get() {
          now += 30;
          return 0;
        },
      });
      const renderer = new MarkdownRenderer(root);
      const text = '- item *a*\n'.repeat(3_000);
      renderer.reset(text);
      renderer.finish();
      const first = root.querySelectorAll('li').length;
      expect(first).toBeGreaterThan(20);
      expect(first).toBeLessThan(500);
      expect(root.getAttribute('aria-busy')).toBe('true');
      let count = 0;
      while (frames.waiting > 0 && count++ < 1_000) frames.run();
      expect(count).toBeGreaterThan(5);
      expect(root.querySelectorAll('li').length).toBe(3_000);
      expect(root.getAttribute('aria-busy')).toBeNull();
      expect(shown(root)).toBe(shown(render([text])));
    } finally {
      frames.restore();
    }
  });

  test('what is printed is the whole', () => {
    const frames = new Frames();
    let now = 0;
    globalThis.performance = Object.create(globalThis.performance, { now: { value: () => now++ } });
    try {
      const root = document.createElement('div');
      const renderer = new MarkdownRenderer(root);
      renderer.reset('- item\n'.repeat(3_000));
      now += 1_000;
      renderer.finish();
      const before = root.querySelectorAll('li').length;
      expect(before).toBeLessThan(3_000);
      dispatchEvent(new Event('beforeprint'));
      expect(root.querySelectorAll('li').length).toBe(3_000);
      dispatchEvent(new Event('afterprint'));
    } finally {
      frames.restore();
    }
  });

  test('the first batch is never refused, so work comes to its end', () => {
    const budget = new Budget(document.createElement('div'), new Pace());
    let made = 0;
    while (made < 150 && budget.spend()) made++;
    expect(made).toBe(150);
  });
});

import { describe, expect, test } from 'vitest';
import { cut, render, seeded } from './support';

function headings(root: Element): Element[] {
  return [...root.querySelectorAll('h1, h2, h3, h4, h5, h6')];
}

function levels(root: Element): number[] {
  return headings(root).map(({ localName }) => Number(localName.slice(1)));
}

describe('the level of a heading', () => {
  test.each([
    ['# a\n## b\n### c\n#### d\n##### e\n###### f\n', [3, 4, 5, 6, 6, 6]],
    ['## a\n### b\n## c\n', [3, 4, 3]],
    ['#### a\n#### b\n', [3, 3]],
    ['# a\n#### b\n#### c\n## d\n', [3, 4, 4, 4]],
    ['### a\n# b\n## c\n### d\n', [3, 3, 4, 5]],
    ['a\n---\n### b\nc\n===\n', [3, 4, 3]],
    ['## a\n\n> #### b\n> ###### c\n\n- ### d\n  - #### e\n\n## f\n', [3, 4, 5, 4, 5, 3]],
  ])('%j', (text, expected) => {
    expect(levels(render([text]))).toEqual(expected);
    expect(levels(render([...text]))).toEqual(expected);
  });
});

test('how a heading looks goes by its depth', () => {
  expect(headings(render(['## a\n###### b\n# c\n'])).map(({ className }) => className)).toEqual([
    'depth-2',
    'depth-6',
    'depth-1',
  ]);
});

test('no frame of an answer leaves a level out', () => {
  const random = seeded(3);
  const pick = (most: number) => Math.floor(random() * most);
  let seen = 0;
  for (let round = 0; round < 60; round++) {
    const lines = Array.from({ length: 12 }, () => {
      const holder = ['', '', '> ', '- ', '1. ', '> - '][pick(6)];
      return `${holder}${'#'.repeat(1 + pick(6))} words${pick(3) === 0 ? '\n---' : ''}`;
    });
    render(cut(lines.join(pick(2) === 0 ? '\n' : '\n\n'), 12, random), (root) => {
      let before = 2;
      for (const level of levels(root)) {
        expect(level).toBeGreaterThanOrEqual(3);
        expect(level).toBeLessThanOrEqual(before + 1);
        before = level;
        seen++;
      }
    });
  }
  expect(seen).toBeGreaterThan(5_000);
});

test('a heading keeps its element while the answer goes on, in a quote too', () => {
  const first = new Map<string, Element>();
  const root = render([...'## one\n\n> ### two\n> words\n\nwords\n\n### three\n\nthe end\n'], (live) => {
    for (const heading of headings(live)) {
      const text = heading.textContent ?? '';
      if (['one', 'two', 'three'].includes(text) && !first.has(text)) first.set(text, heading);
    }
  });
  expect(headings(root)).toEqual([...first.values()]);
  expect(headings(root).map((heading, index) => heading === [...first.values()][index])).toEqual([
    true,
    true,
    true,
  ]);
});

test('a heading that turns out to be mathematics takes its level from what stood under it', () => {
  const frames: number[][] = [];
  const quote = '> #### c\n';
  render([`# a\n\n$$\n## b\n\n${quote}`, `x\n$$\n\nwords\n\n${quote}`], (root) => frames.push(levels(root)));
  expect(frames).toEqual([
    [3, 4, 5],
    [3, 4],
  ]);
});

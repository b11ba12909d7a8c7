import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MarkdownRenderer } from '$/markdown/renderer';
import { Frames, render, shown } from './support';

let frames: Frames;
let root: HTMLElement;
let renders: number;
let renderer: MarkdownRenderer;

beforeEach(() => {
  frames = new Frames();
  root = document.createElement('div');
  document.body.append(root);
  renders = 0;
  renderer = new MarkdownRenderer(root, {
    changed() {
      renders++;
    },
  });
});

afterEach(() => {
  renderer.destroy();
  root.remove();
  frames.restore();
});

describe('when it renders', () => {
  test('many pieces are one render, in the next frame', () => {
    for (const piece of 'Words, one by one.') renderer.append(piece);
    expect(renders).toBe(0);
    expect(frames.waiting).toBe(1);
    frames.run();
    expect(renders).toBe(1);
    expect(root.textContent).toBe('Words, one by one.');
  });

  test('without frames, as in a hidden tab, nothing is done until the end', () => {
    for (let count = 0; count < 1_000; count++) renderer.append('words ');
    expect(renders).toBe(0);
    expect(root.childNodes.length).toBe(0);
    renderer.finish();
    expect(renders).toBe(1);
    expect(frames.waiting).toBe(0);
  });

  test('a message that is complete is rendered once, at once', () => {
    renderer.reset('# Whole\n\nmessage');
    renderer.finish();
    expect(renders).toBe(1);
    expect(shown(root)).toBe('<h3 class="depth-1">Whole</h3><p>message</p>');
    frames.run();
    expect(renders).toBe(1);
  });

  test('finishing twice is finishing once', () => {
    renderer.append('words');
    renderer.finish();
    renderer.finish();
    expect(renders).toBe(1);
  });

  test('after destroy nothing happens any more', () => {
    renderer.append('words');
    renderer.destroy();
    expect(frames.waiting).toBe(0);
    expect(root.textContent).toBe('');
  });

  test('it is live from the first text to the end', () => {
    expect(root.className).toBe('prose');
    renderer.append('words');
    expect(root.className).toBe('prose live');
    renderer.finish();
    expect(root.className).toBe('prose');
  });
});

describe('what it leaves alone', () => {
  test('the nodes of stable blocks, and a selection in them', () => {
    renderer.append('First *words* here.\n\nSecond.\n\n');
    frames.run();
    const first = root.firstElementChild;
    const words = first?.querySelector('em')?.firstChild;
    if (!words) throw new Error('no words');
    getSelection()?.setBaseAndExtent(words, 1, words, 4);
    for (const piece of ['```js\nlet x', ' = 1;\n', '```\n', '\n- a\n', '- b\n\n', 'Last.']) {
      renderer.append(piece);
      frames.run();
    }
    renderer.finish();
    expect(root.firstElementChild).toBe(first);
    expect(getSelection()?.toString()).toBe('ord');
    expect(getSelection()?.anchorNode).toBe(words);
  });

  test('the text node of a paragraph that grows', () => {
    renderer.append('Words that');
    frames.run();
    const text = root.querySelector('p')?.firstChild;
    renderer.append(' go on');
    frames.run();
    expect(root.querySelector('p')?.firstChild).toBe(text);
    expect(text?.textContent).toBe('Words that go on');
  });

  test('what is shown, while the same text comes again', () => {
    renderer.append('Kept.\n\nAnd ');
    frames.run();
    const [kept, tail] = root.children;
    renderer.reset('');
    for (const piece of ['Kept', '.\n\n', 'And ', 'more']) {
      renderer.append(piece);
      frames.run();
      expect([...root.children]).toEqual([kept, tail]);
    }
    expect(root.textContent).toBe('Kept.And more');
  });
});

describe('starting over', () => {
  test('another text replaces what is shown, without an empty frame between', () => {
    renderer.append('Old words.');
    frames.run();
    renderer.reset('New');
    expect(root.textContent).toBe('Old words.');
    frames.run();
    expect(root.textContent).toBe('New');
  });

  test('a text that ends before it has caught up is shown as it is', () => {
    renderer.append('Old words.');
    frames.run();
    renderer.reset('Old');
    frames.run();
    expect(root.textContent).toBe('Old words.');
    renderer.finish();
    expect(root.textContent).toBe('Old');
  });

  test('a finished message that goes on is shown whole all the time', () => {
    renderer.append('It [begins][1].\n\n[1]: https://r1.example\n');
    renderer.finish();
    renderer.reset('');
    frames.run();
    expect(root.textContent).toBe('It begins.');
    renderer.append('It [begins][1].\n\n[1]: https://r1.example\n\nAnd ends.');
    renderer.finish();
    expect(root.querySelectorAll('a').length).toBe(1);
    expect(root.textContent).toBe('It begins.And ends.');
  });

  test('text after the end goes on with the same message', () => {
    renderer.append('It **begins');
    renderer.finish();
    renderer.append(' and** ends.');
    renderer.finish();
    expect(shown(root)).toBe('<p>It <strong>begins and</strong> ends.</p>');
  });
});

test('a link whose definition comes later is a link at the end', () => {
  const late = ['See [the docs].\n\n', 'More.\n\n', '[the docs]: https://r1.example\n'];
  expect(shown(render(late))).toBe(shown(render([late.join('')])));
  expect(render(late).querySelector('a')?.href).toBe('https://r1.example/');
});

test('blocks are handed out as they end, so that a long answer is not read again and again', () => {
  const seen = new Set<Node>();
  let replaced = 0;
  const pieces = Array.from({ length: 60 }, (_, index) => `Paragraph ${index} with *words*.\n\n`);
  render(pieces, (live) => {
    for (const node of seen) if (!live.contains(node)) replaced++;
    for (const node of live.children) seen.add(node);
  });
  expect(seen.size).toBe(60);
  expect(replaced).toBe(0);
});

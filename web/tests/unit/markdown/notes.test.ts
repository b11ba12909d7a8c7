import { describe, expect, test } from 'vitest';
import { render, shown } from './support';

const marksOf = (root: Element) =>
  [...root.querySelectorAll('a.note-mark')].map(({ textContent }) => textContent);
const notesOf = (root: Element) =>
  [...root.querySelectorAll('.note-text')].map(({ textContent }) => textContent);

describe('footnotes', () => {
  test('are numbered in the order of their first marks, and stand at the end', () => {
    const text = 'One[^b] two[^a] three[^b].\n\n[^a]: Alpha\n[^b]: Beta\n\nThe end.\n';
    for (const pieces of [[text], [...text]]) {
      const root = render(pieces);
      expect(marksOf(root)).toEqual(['1', '2', '1']);
      expect(notesOf(root)).toEqual(['Beta', 'Alpha']);
      expect(root.lastElementChild?.className).toBe('notes');
      expect(root.querySelector('p')?.textContent).toBe('One1 two2 three1.');
    }
  });

  test('lead there and back; each mark has its own way back', () => {
    const root = render(['a[^1] b[^1]\n\n[^1]: c\n']);
    document.body.append(root);
    const [first, second] = root.querySelectorAll<HTMLAnchorElement>('a.note-mark');
    const note = root.querySelector<HTMLElement>('.notes li');
    expect(first?.getAttribute('href')).toBe(`#${note?.id}`);
    const back = [...root.querySelectorAll<HTMLAnchorElement>('.note-back a')];
    expect(back.map((link) => link.getAttribute('href'))).toEqual([`#${first?.id}`, `#${second?.id}`]);
    expect(back.map(({ textContent }) => textContent)).toEqual(['↩1', '↩2']);
    Element.prototype.scrollIntoView ??= () => undefined;
    first?.click();
    expect(document.activeElement).toBe(note);
    back[1]?.click();
    expect(document.activeElement).toBe(second);
    expect(location.hash).toBe('');
    root.remove();
  });

  test('have ids that no other answer has', () => {
    const ids = ['a[^1]\n\n[^1]: b\n', 'a[^1]\n\n[^1]: b\n'].flatMap((text) =>
      [...render([text]).querySelectorAll('[id]')].map(({ id }) => id),
    );
    expect(ids.length).toBe(4);
    expect(new Set(ids).size).toBe(4);
  });

  test.each([
    ['a[^1]', 'a[^1]'],
    ['[^a-z] and [^x]', '[^a-z] and [^x]'],
    ['`a[^1]`\n\n[^1]: b', 'a[^1]b'],
    ['a\\[^1]\n\n[^1]: b', 'a[^1]b'],
  ])('%j: without a definition, or in code, it is text', (text, content) => {
    for (const pieces of [[text], [...text]]) {
      const root = render(pieces);
      expect(marksOf(root)).toEqual([]);
      expect(root.textContent).toBe(content);
    }
  });

  test('that nothing refers to are not lost', () => {
    const root = render(['a[^1]\n\n[^2]: two\n[^1]: one\n']);
    expect(notesOf(root)).toEqual(['one', 'two']);
    expect(root.querySelectorAll('.note-back a').length).toBe(1);
  });

  test('hold blocks, and marks of others', () => {
    const root = render(['a[^1]\n\n[^1]: b[^2]\n\n    - c\n\n    ```\n    d\n    ```\n\n[^2]: e\n\nf\n']);
    expect(root.querySelector('.note-text li')?.textContent).toBe('c');
    expect(root.querySelector('.note-text pre')?.textContent).toBe('d');
    expect(marksOf(root)).toEqual(['1', '2']);
    expect(root.querySelector(':scope > p:nth-of-type(2)')?.textContent).toBe('f');
  });

  test('are never seen half typed, and a number is a mark before it is defined', () => {
    const frames = new Set<string>();
    render([...'See this[^1] here.\n\n[^1]: Words.\n'], (root) => {
      frames.add([...root.querySelectorAll(':scope > p')].map(({ textContent }) => textContent).join('|'));
    });
    for (const frame of frames) expect(frame).not.toMatch(/[[^]/);
    expect(frames).toContain('See this1 here.');
  });

  test('a number that turns out to be none gives its place to the others', () => {
    const text = 'a[^1] b[^2]\n\nc\n\n[^2]: d\n\ne\n';
    const root = render([...text]);
    expect(root.querySelector('p')?.textContent).toBe('a[^1] b1');
    expect(shown(root)).toBe(shown(render([text])));
  });

  test('do not break links, and no mark is a link in a link', () => {
    const root = render(['[a[^1]](https://r1.example) [^1](https://r1.example)\n\n[^1]: b\n']);
    expect(root.querySelectorAll('a a').length).toBe(0);
    expect(root.querySelectorAll('a[href^="https"]').length).toBe(2);
  });
});

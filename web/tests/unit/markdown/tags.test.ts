import { describe, expect, test } from 'vitest';
import { completeHalfTyped } from '$/markdown/half_typed';
import { render, shown } from './support';

describe('tags that are known', () => {
  test.each([
    ['H<sub>2</sub>O', '<p>H<sub>2</sub>O</p>'],
    ['x<sup>**2**</sup>', '<p>x<sup><strong>2</strong></sup></p>'],
    ['<kbd>Ctrl</kbd>+<kbd>C</kbd>', '<p><kbd>Ctrl</kbd>+<kbd>C</kbd></p>'],
    ['<KBD>A</kbd >', '<p><kbd>A</kbd></p>'],
    ['<b>a</b><strong>b</strong>', '<p><b>a</b><strong>b</strong></p>'],
    ['<i>a</i><em>b</em><u>c</u>', '<p><i>a</i><em>b</em><u>c</u></p>'],
    ['<s>a</s><strike>b</strike><del>c</del><ins>d</ins>', '<p><s>a</s><s>b</s><del>c</del><ins>d</ins></p>'],
    ['<mark>a</mark> <small>b</small>', '<p><mark>a</mark> <small>b</small></p>'],
    ['<code>a</code><samp>b</samp><var>c</var>', '<p><code>a</code><samp>b</samp><var>c</var></p>'],
    ['a <b>b <i>c</i></b>', '<p>a <b>b <i>c</i></b></p>'],
    ['[<kbd>a</kbd>](x:y)', '<p><span><kbd>a</kbd></span></p>'],
    ['- <b>a</b>: b', '<ul><li><span><b>a</b>: b</span></li></ul>'],
    ['# <i>a</i>', '<h3 class="depth-1"><i>a</i></h3>'],
    ['<b>\na\n</b>', '<p><b>\na\n</b></p>'],
  ])('%j', (text, html) => {
    expect(shown(render([text]))).toBe(html);
    expect(shown(render([...text]))).toBe(html);
  });

  test('nothing is taken of them but the name', () => {
    const root = render(['<sub onclick=x class="y" style="position:fixed" id=app>a</sub>']);
    expect(shown(root)).toBe('<p><sub>a</sub></p>');
  });

  test.each([
    '<sub>a',
    'a</sub>',
    '<sub/>a',
    '<b>a</i>',
    '<q>a</q>',
    '<sub a',
    '<s x="<b>">a</s',
    '`<b>a</b>`',
    '\\<b>a\\</b>',
  ])('%j is the text that it is', (text) => {
    const root = render([text]);
    expect(root.querySelector('sub, b, i, q, s')).toBeNull();
    expect(root.textContent).toBe(text.replace(/^`|`$|\\/g, ''));
  });

  test('crossed tags lose no word', () => {
    expect(render(['<u>d <i>e</u> f</i>']).textContent).toBe('d <i>e f</i>');
  });

  test('tags within tags have an end', () => {
    const root = render([`${'<b>'.repeat(200)}a${'</b>'.repeat(200)}`]);
    expect(root.querySelectorAll('b').length).toBeLessThan(30);
    expect(root.textContent).toContain('a');
  });

  test.each([
    ['H<sub>2', 'H<sub>2</sub>'],
    ['H<su', 'H'],
    ['H<sub>2</su', 'H<sub>2</sub>'],
    ['H<', 'H'],
    ['a <b>**c', 'a <b>**c**</b>'],
    ['a <kbd', 'a '],
    ['1 < 2', '1 < 2'],
    ['a <bigger', 'a <bigger'],
  ])('half typed: %j', (typed, complete) => {
    expect(completeHalfTyped(typed)).toBe(complete);
  });
});

describe('the ends of lines', () => {
  test.each([
    ['a\nb', '<p>a\nb</p>'],
    ['a  \nb', '<p>a<br></br>b</p>'],
    ['a\\\nb', '<p>a<br></br>b</p>'],
    ['a<br>\nb', '<p>a<br></br>b</p>'],
    ['a\n<br/>\nb', '<p>a<br></br>b</p>'],
    ['a<br>b', '<p>a<br></br>b</p>'],
    ['- a\n  b', '<ul><li><span>a\nb</span></li></ul>'],
    ['> a\n> b', '<blockquote><p>a\nb</p></blockquote>'],
    ['Term\n: definition', '<p>Term\n: definition</p>'],
  ])('%j', (text, html) => {
    expect(shown(render([text]))).toBe(html);
  });
});

test.each(['~$5~', 'H~2~O', '~/bin and ~/lib', 'a ~b', '~a~'])('%j has tildes and nothing struck', (text) => {
  const root = render([text]);
  expect(root.querySelector('del')).toBeNull();
  expect(root.textContent).toBe(text);
});

test('two tildes strike', () => {
  expect(shown(render(['~~a~~ b']))).toBe('<p><del>a</del> b</p>');
});

describe('direction marks in words', () => {
  test.each([
    'user\u202e admin',
    'a\u2066b',
    'a\u200fb',
    '**a\u202eb**',
    '[a\u202eb](https://r1.example)',
    '# a\u202e',
  ])('%j: each is named, and still there', (text) => {
    const badge = render([text]).querySelector('.bidi-control');
    expect(badge?.getAttribute('data-name')).toMatch(/^U\+20(?:2E|66|0F)$/);
    expect(badge?.getAttribute('aria-label')).toBe(badge?.getAttribute('data-name'));
  });

  test('written as references too, and in tags, tables, notes and summaries', () => {
    for (const text of [
      'a&#x202e;b',
      '<b>a\u202eb</b>',
      '|a|\n|-|\n|b\u202e|',
      'a[^1]\n\n[^1]: b\u202e',
      '<details><summary>a\u202e</summary>',
      '<q>\u202e',
      '![a\u202e](https://r1.example)',
      '$a\u202e$',
      '```a\u202e\nb\n```',
    ])
      expect(render([text]).querySelector('.bidi-control'), text).not.toBeNull();
  });

  test('the marks that words from right to left need are left alone there', () => {
    expect(render(['שלום C++\u200e עולם']).querySelector('.bidi-control')).toBeNull();
    expect(render(['שלום \u202eעולם']).querySelector('.bidi-control')).not.toBeNull();
  });

  test('a flood of them is bounded, and none of them acts', () => {
    const root = render(['a\u202e'.repeat(1_000)]);
    expect(root.querySelectorAll('.bidi-control').length).toBeLessThanOrEqual(200);
    for (const badge of root.querySelectorAll('.bidi-control')) badge.remove();
    expect(root.textContent).not.toContain('\u202e');
  });
});

import { describe, expect, it } from 'vitest';
import { Caret, lineOf } from '$/features/chat/caret';

function tree(tag: string, ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

describe('the line of the next word', () => {
  it('is in the last paragraph or heading', () => {
    const last = tree('p', 'two ', tree('strong', 'three'));
    expect(lineOf(tree('div', tree('p', 'one'), last))).toBe(last);
    const heading = tree('h3', 'one');
    expect(lineOf(tree('div', heading))).toBe(heading);
  });

  it('is in the last item, however deep', () => {
    const item = tree('li', 'b ', tree('em', 'c'));
    expect(lineOf(tree('div', tree('ul', tree('li', 'a', tree('ol', item)))))).toBe(item);
    const paragraph = tree('p', 'x');
    expect(lineOf(tree('div', tree('blockquote', tree('ul', tree('li', paragraph)))))).toBe(paragraph);
    const plain = tree('li', 'a');
    expect(lineOf(tree('div', tree('ul', plain)))).toBe(plain);
  });

  it('is below a block without such a line', () => {
    const answer = tree('div', tree('p', 'x'), tree('pre', tree('code', 'y')));
    expect(lineOf(answer)).toBe(answer);
    const item = tree('li', 'a', tree('pre', 'b'));
    expect(lineOf(tree('div', tree('ul', item)))).toBe(item);
    const quoted = tree('div', tree('blockquote', tree('div', 'code')));
    expect(lineOf(quoted)).toBe(quoted);
    const empty = tree('div');
    expect(lineOf(empty)).toBe(empty);
  });
});

it('is marked once, and leaves nothing behind', () => {
  const first = tree('p', 'one');
  const answer = tree('div', first);
  const caret = new Caret();
  caret.move(answer);
  expect(answer.querySelectorAll('.line')).toHaveLength(1);
  const second = tree('p', 'two');
  answer.append(second);
  caret.move(answer);
  expect([...answer.querySelectorAll('.line')]).toEqual([second]);
  expect(first.hasAttribute('class')).toBe(false);
  caret.remove();
  expect(answer.querySelector('.line')).toBeNull();
});

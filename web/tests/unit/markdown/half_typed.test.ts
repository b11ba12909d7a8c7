import { describe, expect, test } from 'vitest';
import { completeHalfTyped } from '$/markdown/half_typed';
import { UNFINISHED } from '$/markdown/math_syntax';
import { render } from './support';

describe('what is shown of a half-typed end', () => {
  test.each([
    ['some **bold', 'some **bold**'],
    ['some **bold*', 'some **bold**'],
    ['some **', 'some '],
    ['some *em and **bold', 'some *em and **bold***'],
    ['some **bold** and', 'some **bold** and'],
    ['2 * 3 * 4', '2 * 3 * 4'],
    ['snake_case_name', 'snake_case_name'],
    ['~~struck', '~~struck~~'],
    ['a `code', 'a `code`'],
    ['a ``co`de', 'a ``co`de``'],
    ['a `', 'a '],
    ['see [the docs', 'see the docs'],
    ['see [the docs]', 'see the docs'],
    ['see [the docs](https://r1.exa', 'see the docs'],
    ['see [the docs](https://r1.example) now', 'see [the docs](https://r1.example) now'],
    ['see **[the docs](https://r1', 'see **the docs**'],
    ['a ![picture](https://r1', 'a '],
    ['array[0] and', 'array[0] and'],
    ['- one\n-', '- one\n'],
    ['- one\n- ', '- one\n'],
    ['- one\n- **two', '- one\n- **two**'],
    ['words\n-', 'words\n'],
    ['words\n=', 'words\n'],
    ['words\n\n##', 'words\n\n'],
    ['words\n\n1.', 'words\n\n'],
    ['words\n\n>', 'words\n\n'],
    ['words\n\n``', 'words\n\n'],
    ['words\n\n```py', 'words\n\n'],
    ['```py\nx = 1\n``', '```py\nx = 1\n'],
    ['```py\na ** b', '```py\na ** b'],
    ['```py\n[x](y', '```py\n[x](y'],
    ['| Name | Size', '| Name | Size\n|---|---|\n'],
    ['| Name | Size |\n|--', '| Name | Size |\n|---|---|\n'],
    ['| a |\n|---|\n| **b', '| a |\n|---|\n| **b**'],
    ['so \\(x^2', `so \\(x^2${UNFINISHED}\\)`],
    ['$$\n- x', `$$\n- x\n${UNFINISHED}$$`],
    ['it is $5 and', 'it is $5 and'],
    ['a trailing \\', 'a trailing '],
  ])('%j', (typed, shown) => {
    expect(completeHalfTyped(typed)).toBe(shown);
  });
});

const ANSWER = `## A heading with **bold** words

Words with **bold**, *em*, \`code\`, ~~struck~~ and [a link](https://r1.example/path), then more.

| Name | Size |
|------|-----:|
| **a** | 1 |

- one
- **two** and \`three\`
  - four

\`\`\`js
const x = a ** b;
\`\`\`

$$
x - y
$$

Last words.
`;

test('no frame of a streamed answer shows its marks', () => {
  const marks = new Set<string>();
  let tables = 0;
  render([...ANSWER], (root) => {
    const copy = root.cloneNode(true);
    if (!(copy instanceof HTMLElement)) return;
    for (const code of copy.querySelectorAll('code')) code.remove();
    const words = copy.textContent ?? '';
    for (const [mark] of words.matchAll(/\*\*|\]\(|`|\|-|^#+|~~|\$\$|\|/g))
      marks.add(`${mark} in ${words.slice(-40)}`);
    tables = Math.max(tables, copy.querySelectorAll('table').length);
  });
  expect([...marks]).toEqual([]);
  expect(tables).toBe(1);
});

test('a list item that begins never turns the line before it into a heading', () => {
  const seen = new Set<string>();
  render([...'Words:\n- one\n- two\n'], (root) => {
    for (const element of root.querySelectorAll('*')) seen.add(element.localName);
  });
  expect([...seen].toSorted()).toEqual(['li', 'p', 'span', 'ul']);
});

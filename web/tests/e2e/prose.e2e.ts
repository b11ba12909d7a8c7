import type { Locator } from 'playwright-core';
import { expect, test } from 'vitest';
import { inChromium } from './support/in_chromium';
import type { Tab } from './support/tab';
import { type TabOptions, useWorld } from './support/world';

const world = useWorld();

/** A chat whose answer says this, opened. */
async function answered(text: string, options: TabOptions = {}): Promise<Tab> {
  const user = await world.user();
  const chat = await user.ask(`say\n${text}`);
  const tab = await world.tab(`/c/${chat}`, { user, viewport: { width: 1000, height: 1600 }, ...options });
  await tab.page.locator('article.assistant .prose:not(.live):not([aria-busy]) > *').first().waitFor();
  return tab;
}

function styles(of: Locator, property: string): Promise<string[]> {
  return of.evaluateAll(
    (elements, name) => elements.map((element) => getComputedStyle(element).getPropertyValue(name)),
    property,
  );
}

test('lists of every shape have their marks', async () => {
  const tab = await answered(
    [
      '- tight\n- tight',
      'a',
      '- loose\n\n- loose\n\n  words',
      'b',
      '1. tight\n2. tight',
      'c',
      '7. loose\n\n8. loose\n\n   - nested\n\n     - deeper\n\n   1) other',
      '> 1. quoted\n> 2. quoted\n>\n> - a\n>\n> - b',
      '- [ ] task\n- [x] task',
    ].join('\n\n'),
  );
  const lists = tab.page.locator('.prose :is(ul, ol)');
  expect(await styles(lists, 'list-style-type')).toEqual([
    'disc',
    'disc',
    'decimal',
    'decimal',
    'circle',
    'square',
    'decimal',
    'decimal',
    'disc',
    'disc',
  ]);
  const items = tab.page.locator('.prose li:not(.task)');
  expect([...new Set(await styles(items, 'display'))]).toEqual(['list-item']);
  expect((await styles(items, 'list-style-type')).includes('none')).toBe(false);
  expect([...new Set(await styles(tab.page.locator('.prose li.task'), 'list-style-type'))]).toEqual(['none']);
  // The number that is shown: of a list that begins with seven, its second item is eight.
  expect(
    await tab.page
      .locator('.prose ol')
      .nth(1)
      .evaluate((list) => (list as HTMLOListElement).start),
  ).toBe(7);
});

test('lines stay lines, and copying keeps them', async () => {
  const tab = await answered(
    'Roses are red,\nviolets are blue,  \nhard\\\nbreaks<br>\ntoo.\n\n- Name: A\n  Date: B\n\n> one\n> two',
  );
  const [paragraph, item, quote] = await tab.page.locator('.prose :is(p, li)').allInnerTexts();
  expect(paragraph).toBe('Roses are red,\nviolets are blue,\nhard\nbreaks\ntoo.');
  expect(item).toBe('Name: A\nDate: B');
  expect(quote).toBe('one\ntwo');
  const lines = await tab.page.locator('.prose > p').evaluate((element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
  });
  expect(lines).toBe(5);
  const selected = await tab.page.locator('.prose > p').evaluate((element) => {
    getSelection()?.selectAllChildren(element);
    return getSelection()?.toString().trim();
  });
  expect(selected).toBe(paragraph);
});

test('equations are numbered through an answer, and begin again with the next', async () => {
  const text = [
    '$$\n\\begin{align} a &= b \\\\ c &= d \\end{align}\n$$',
    'words',
    '$$\n\\begin{equation} e = f \\end{equation}\n$$',
    '$$\n\\begin{align*} g &= h \\end{align*}\n$$',
    '$$\nx = y \\tag{*}\n$$',
    '$$\n\\begin{gather} i = j \\\\ k = l \\end{gather}\n$$',
  ].join('\n\n');
  const user = await world.user();
  const chat = await user.ask(`say\n${text}`);
  await user.ask(`say\n${text} again`, { conversation_id: chat });
  const tab = await world.tab(`/c/${chat}`, { user, viewport: { width: 900, height: 3000 } });
  await expect.poll(() => tab.page.locator('.katex-display').count(), { timeout: 20_000 }).toBe(10);
  // What a counter shows is in no text of the page; what an assistive technology would read tells it.
  await tab.page.evaluate(() => {
    for (const hidden of document.querySelectorAll('.katex-html')) hidden.removeAttribute('aria-hidden');
  });
  const session = await tab.page.context().newCDPSession(tab.page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  const words = nodes.flatMap(({ role, name }) =>
    role?.value === 'StaticText' ? [String(name?.value)] : [],
  );
  const numbers = words.join('').match(/\(\d+\)/g) ?? [];
  // Each of five stands in two answers, as it is drawn and as MathML.
  const each = ['(1)', '(2)', '(3)', '(4)', '(5)'].flatMap((number) => Array<string>(4).fill(number));
  expect(numbers.toSorted()).toEqual(each);
});

test('notes, alerts, details, tags and chemistry are shown as what they are', async () => {
  const tab = await answered(
    [
      'Water is $\\ce{H2O}$ or H<sub>2</sub>O[^w], press <kbd>Ctrl</kbd>.',
      '> [!WARNING]\n> Hot.',
      '<details><summary>More</summary>\n\nHidden.\n\n</details>',
      '[^w]: Not ~5~ but ~~6~~.',
    ].join('\n\n'),
  );
  await tab.page.locator('.katex').waitFor();
  expect(await tab.page.locator('.math-source').count()).toBe(0);
  const hidden = tab.page.locator('.prose details > p');
  expect(await hidden.isVisible()).toBe(false);
  await tab.page.locator('summary').click();
  expect(await hidden.isVisible()).toBe(true);
  await tab.page.locator('[role=doc-noteref]').click();
  expect(await tab.page.evaluate(() => document.activeElement?.matches('.notes li'))).toBe(true);
  await tab.page.locator('[role=doc-backlink]').click();
  expect(await tab.page.evaluate(() => document.activeElement?.matches('.note-mark'))).toBe(true);
  expect(new URL(tab.page.url()).hash).toBe('');
  expect(await tab.page.locator('.alert-warning > *').allInnerTexts()).toEqual(['Warning', 'Hot.']);
  expect(await tab.page.locator('.notes del').allInnerTexts()).toEqual(['6']);
});

test('where a box goes on, its edge fades; the first of many columns stays', async () => {
  const wide = `|${'a long heading|'.repeat(12)}\n|${'-|'.repeat(12)}\n|${'words|'.repeat(12)}`;
  const tab = await answered(`\`\`\`\n${'wide '.repeat(100)}\n\`\`\`\n\n\`\`\`\nshort\n\`\`\`\n\n${wide}`, {
    viewport: { width: 700, height: 1200 },
  });
  const fades = (of: Locator) =>
    of.evaluateAll((boxes) =>
      boxes.map((box) => {
        const style = getComputedStyle(box);
        return [style.getPropertyValue('--fade-start'), style.getPropertyValue('--fade-end')];
      }),
    );
  const code = tab.page.locator('.prose pre');
  await expect
    .poll(() => fades(code))
    .toEqual([
      ['0px', '24px'],
      ['0px', '0px'],
    ]);
  await code.first().evaluate((box) => box.scrollTo({ left: 200 }));
  await expect.poll(async () => (await fades(code))[0]).toEqual(['24px', '24px']);
  await code.first().evaluate((box) => box.scrollTo({ left: 100_000 }));
  await expect.poll(async () => (await fades(code))[0]).toEqual(['24px', '0px']);

  const box = tab.page.locator('.table-box');
  await expect.poll(() => fades(box)).toEqual([['0px', '24px']]);
  await box.evaluate((element) => element.scrollTo({ left: 300 }));
  const left = await box.evaluate((element) => {
    const cell = element.querySelector('td');
    return (cell?.getBoundingClientRect().left ?? 0) - element.getBoundingClientRect().left;
  });
  expect(Math.abs(left)).toBeLessThan(3);
});

const FORCED = 'under a forced palette diagrams have words, and accents cover no letter';
inChromium('its driver forces colours', FORCED, async () => {
  const tab = await answered('$\\bar{t}$\n\n```mermaid\ngraph LR\nA[Request] --> B[Answer]\n```', {
    forcedColors: 'active',
  });
  const formula = tab.page.locator('.prose .katex');
  await formula.waitFor();
  // Otherwise each line of text has a ground of its own, the accent's too.
  expect(await styles(formula, 'forced-color-adjust')).toEqual(['none']);
  const drawing = tab.page.frameLocator('article iframe').locator('svg').first();
  const box = drawing.locator('.node rect').first();
  await box.waitFor();
  const [ground] = await styles(box, 'fill');
  const inks = await styles(drawing.locator('.node text, .node tspan'), 'fill');
  expect(inks.length).toBeGreaterThan(0);
  expect(inks).not.toContain(ground);
});

test('in a narrow window a German bar of code has room for its language', async () => {
  const tab = await answered('```mermaid\ngraph LR\nA[Request] --> B[Answer]\n```', {
    locale: 'de-DE',
    viewport: { width: 360, height: 720 },
  });
  const source = tab.page.getByRole('button', { name: 'Quelltext' });
  await source.click();
  await tab.page.getByRole('button', { name: 'Umbruch' }).waitFor();
  const language = tab.page.locator('.code-language');
  expect(await language.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0);
});

import { expect, test } from 'vitest';
import type { Api } from './support/api';
import { ENGINE } from './support/engine';
import { inChromium } from './support/in_chromium';
import { scrollOf, wholeChat } from './support/scroll';
import { useWorld } from './support/world';

const world = useWorld();
const TURNS = 100;

async function longChat(user: Api): Promise<string> {
  const text = (n: number) =>
    `Sentence ${n} begins here.\n\n${'Some more words of it. '.repeat(12)}\n\n- one\n- two\n\n\`\`\`js\nconst code${n} = "${'long '.repeat(60)}";\n\`\`\``;
  const id = await user.ask(`say\n${text(1)}`);
  for (let n = 2; n <= TURNS; n += 1) await user.ask(`say\n${text(n)}`, { conversation_id: id });
  return id;
}

/** Pages of a PDF, whose page objects are not compressed. */
const pagesOf = (pdf: Buffer) => pdf.toString('latin1').match(/\/Type\s*\/Page(?!s)/g)?.length ?? 0;

test('all of 200 messages are found, printed and read, soon after the end is seen', async () => {
  const user = await world.user();
  const id = await longChat(user);
  const tab = await world.tab(`/c/${id}`, { user });
  await tab.page.getByText(`Sentence ${TURNS} begins here.`, { exact: true }).last().waitFor();
  await wholeChat(tab, 2 * TURNS);
  const { top, max } = await scrollOf(tab);
  expect(max - top, 'it is still at its end').toBeLessThan(2);
  const find = (text: string) => tab.page.evaluate((words) => Reflect.get(window, 'find')(words), text);
  // Of Firefox's search a page under a driver is always told that it has found nothing.
  const searched = ENGINE === 'chromium' ? [1, 50, TURNS] : [];
  for (const n of searched) {
    await tab.page.evaluate(() => getSelection()?.removeAllRanges());
    expect(await find(`Sentence ${n} begins here.`)).toBe(true);
  }
  const text = await tab.page.locator('[role="log"]').textContent();
  for (let n = 1; n <= TURNS; n += 1) expect(text).toContain(`Sentence ${n} begins here.`);
});

const PDF = 'a PDF has all of it, page after page, dark on light, and nothing to press';
inChromium('its driver prints', PDF, async () => {
  const user = await world.user();
  const id = await longChat(user);
  const tab = await world.tab(`/c/${id}`, { user, colorScheme: 'dark' });
  await tab.page.getByText(`Sentence ${TURNS} begins here.`, { exact: true }).last().waitFor();
  // At once: what has not been rendered yet is rendered for it.
  const pdf = await tab.page.pdf({ format: 'A4' });
  expect(pagesOf(pdf)).toBeGreaterThan(20);
  await tab.page.emulateMedia({ media: 'print' });
  const seen = await tab.page.evaluate(() => {
    const shown = (selector: string) =>
      [...document.querySelectorAll(selector)].some((element) => element.getClientRects().length > 0);
    const articles = [...document.querySelectorAll('article')];
    const code = document.querySelector('article pre');
    return {
      height: document.documentElement.scrollHeight,
      articles: articles.length,
      empty: articles.filter((article) => article.querySelector('.prose > *, .bubble > p') === null).length,
      furniture: ['header', 'nav', 'form', 'button', 'textarea', '#sidebar'].filter(shown),
      code: code ? code.scrollWidth - code.clientWidth : null,
      ink: getComputedStyle(document.body).color,
      scheme: getComputedStyle(document.documentElement).colorScheme,
    };
  });
  expect(seen.height).toBeGreaterThan(20_000);
  expect([seen.articles, seen.empty]).toEqual([2 * TURNS, 0]);
  expect(seen.furniture).toEqual([]);
  expect(seen.code, 'code is wrapped').toBeLessThanOrEqual(1);
  expect(seen.scheme).toBe('light');
});

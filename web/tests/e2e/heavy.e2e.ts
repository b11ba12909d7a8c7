import { expect, test } from 'vitest';
import { HOSTILE } from '../fixtures/hostile';
import { longestTask } from './support/tasks';
import { useWorld } from './support/world';

const world = useWorld();

/** Characters of each text. */
const LENGTH = 64_000;
/** CPU time of the longest task of the tab's main thread, in ms: the page answers within that. */
const LIMIT = 200;
/** One of each sort is also watched while it is written; opening renders the same in larger pieces. */
const LIVE = [
  'one paragraph of marked words',
  'items',
  'a table of two columns',
  'a table of formulas',
  'code without an end',
  'quotes and lists over lines',
  'details that never close',
  'uses of a note',
];

test.each(HOSTILE)('$name: opening it holds up nothing', async ({ name, text }) => {
  const user = await world.user();
  const chat = await user.ask(`say\n${text(LENGTH)}`);
  const tab = await world.tab('/', { user });
  await tab.composer.waitFor();
  // The library of formulas, which many texts need, is loaded and read once in a page's life.
  const warm = await user.ask('say\n$x$ and\n\n```js\nlet a\n```');
  await tab.page.goto(`${tab.origin}/c/${warm}`);
  await tab.page.locator('.katex').waitFor();
  await tab.page.locator('.hljs-keyword').waitFor();

  const longest = await longestTask(world.browser, async () => {
    await tab.page.locator(`a[href="/c/${chat}"]`).click();
    await tab.page
      .locator('article.assistant .prose:not([aria-busy]) > *')
      .first()
      .waitFor({ timeout: 60_000 });
  });
  expect(longest, `longest task of "${name}", in ms of CPU`).toBeLessThan(LIMIT);
  // It is there, and a chat that once ended a tab can be opened again.
  await tab.page.reload();
  await tab.page.locator('article.assistant .prose > *').first().waitFor();
});

test.each(LIVE)('%s: while it is written nothing is held up', async (name) => {
  const kind = HOSTILE.find((one) => one.name === name);
  const user = await world.user();
  const id = await user.askAndLeave(`say every 1 hold 1 heavy\n${kind?.text(LENGTH / 4) ?? ''}`);
  const tab = await world.tab(`/c/${id}`, { user });
  const stop = tab.button('composer.stop');
  await stop.waitFor();
  const longest = await longestTask(world.browser, async () => {
    world.upstream.open('heavy');
    await stop.waitFor({ state: 'detached', timeout: 60_000 });
    await tab.page
      .locator('article.assistant .prose:not([aria-busy]) > *')
      .first()
      .waitFor({ timeout: 60_000 });
  });
  expect(longest, `longest task of "${name}", in ms of CPU`).toBeLessThan(LIMIT);
});

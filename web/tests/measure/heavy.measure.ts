import { expect, test } from 'vitest';
import type { Tab } from '../e2e/support/tab';
import { longestTask } from '../e2e/support/tasks';
import { useWorld } from '../e2e/support/world';
import { HOSTILE } from '../fixtures/hostile';

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

/** Kinds that one tab is led through: to open one for each kind would take longer than all else. */
const PER_TAB = 12;
const GROUPS = Array.from({ length: Math.ceil(HOSTILE.length / PER_TAB) }, (_, index) =>
  HOSTILE.slice(index * PER_TAB, (index + 1) * PER_TAB),
);

/** Opens the chat from the history, until all of its answer is there. */
async function open(tab: Tab, chat: string): Promise<void> {
  const before = await tab.page.locator('article.assistant').first().elementHandle();
  await tab.page.locator(`a[href="/c/${chat}"]`).click();
  await before?.waitForElementState('hidden');
  // A text may consist of things that show nothing.
  const whole = tab.page.locator('article.assistant .prose:not([aria-busy])').first();
  await whole.waitFor({ state: 'attached', timeout: 120_000 });
}

test.each(GROUPS.map((kinds) => [kinds[0]?.name, kinds] as const))(
  'opening holds up nothing (%s and on)',
  async (_, kinds) => {
    const user = await world.user();
    // Libraries that many texts need are loaded and read once in a page's life.
    const warm = await user.ask('say\n$x$ $\\ce{H2O}$ and\n\n```js\nlet a\n```');
    const chats: [name: string, chat: string][] = [];
    for (const { name, text } of kinds) chats.push([name, await user.ask(`say\n${text(LENGTH)}`)]);
    const tab = await world.tab(`/c/${warm}`, { user });
    await tab.page.locator('.katex').nth(1).waitFor();
    await tab.page.locator('.hljs-keyword').waitFor();
    const slow: Record<string, number> = {};
    for (const [name, chat] of chats) {
      const longest = await longestTask(world.browser, () => open(tab, chat));
      if (longest >= LIMIT) slow[name] = Math.round(longest);
      // What leaving it costs is not a part of what opening the next one costs.
      await open(tab, warm);
    }
    expect(slow, 'the longest tasks, in ms of CPU').toEqual({});
  },
  300_000,
);

test('a chat whose formulas once ended the tab can be opened, and again', async () => {
  const user = await world.user();
  const chat = await user.ask(`say\n$$\n${'\\sqrt{'.repeat(150)}x${'}'.repeat(150)}\n$$`);
  const tab = await world.tab(`/c/${chat}`, { user });
  const source = tab.page.locator('.prose .math-source');
  await source.waitFor();
  await tab.page.reload();
  await source.waitFor();
  expect(await source.textContent()).toContain('\\sqrt{\\sqrt{');
});

test.each(LIVE)(
  '%s: while it is written nothing is held up',
  async (name) => {
    const kind = HOSTILE.find((one) => one.name === name);
    const gate = `heavy-${LIVE.indexOf(name)}`;
    const user = await world.user();
    const id = await user.askAndLeave(`say hold 1 ${gate}\n${kind?.text(LENGTH / 4) ?? ''}`);
    const tab = await world.tab(`/c/${id}`, { user });
    const stop = tab.button('composer.stop');
    await stop.waitFor();
    const longest = await longestTask(world.browser, async () => {
      world.upstream.open(gate);
      await stop.waitFor({ state: 'detached', timeout: 60_000 });
      await tab.page
        .locator('article.assistant .prose:not([aria-busy]) > *')
        .first()
        .waitFor({ timeout: 60_000 });
    });
    expect(longest, `longest task of "${name}", in ms of CPU`).toBeLessThan(LIMIT);
  },
  180_000,
);

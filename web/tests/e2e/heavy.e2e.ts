import { expect, test } from 'vitest';
import { HOSTILE } from '../fixtures/hostile';
import type { StoredMessage } from './support/api';
import type { Tab } from './support/tab';
import { Tasks } from './support/tasks';
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

/** Kinds that one tab is led through: to open one for each kind would take longer than all else. */
const PER_TAB = 36;
const GROUPS = Array.from({ length: Math.ceil(HOSTILE.length / PER_TAB) }, (_, index) =>
  HOSTILE.slice(index * PER_TAB, (index + 1) * PER_TAB),
);
const MESSAGES = /\/conversations\/([\w-]+)\/messages/;
/** What leaving a chat costs is no part of what opening the next one costs. */
const LEAVING = 'leaving';

/** Opens the chat from the history, until all of its answer is there. */
async function open(tab: Tab, chat: string): Promise<void> {
  await tab.page.evaluate((id) => {
    Reflect.set(window, 'left', document.querySelector('article.assistant'));
    document.querySelector<HTMLElement>(`a[href="/c/${id}"]`)?.click();
  }, chat);
  // A text may consist of things that show nothing.
  await tab.page.waitForFunction(
    (id) => {
      const left = Reflect.get(window, 'left') as Element | null;
      const whole = document.querySelector('article.assistant .prose:not([aria-busy])');
      return location.pathname === `/c/${id}` && !left?.isConnected && whole !== null;
    },
    chat,
    { polling: 50, timeout: 60_000 },
  );
}

test.each(GROUPS.map((kinds) => [kinds[0]?.name, kinds] as const))(
  'opening holds up nothing (%s and on)',
  async (_, kinds) => {
    const user = await world.user();
    const chats = await Promise.all(kinds.map(() => user.ask('say a')));
    const texts = new Map(kinds.map(({ text }, index) => [chats[index], text(LENGTH)]));
    // Libraries that many texts need are loaded and read once in a page's life.
    const warm = await user.ask('say\n$x$ $\\ce{H2O}$ and\n\n```js\nlet a\n```');
    const tab = await world.tab(`/c/${warm}`, { user });
    // The server writes and stores such a text word by word, which takes longer than showing it.
    await tab.page.route(MESSAGES, async (route) => {
      const response = await route.fetch();
      const { messages, ...rest } = (await response.json()) as { messages: StoredMessage[] };
      const text = texts.get(MESSAGES.exec(route.request().url())?.[1] ?? '');
      const told = messages.map((message) =>
        text !== undefined && message.role === 'assistant' ? { ...message, content: text } : message,
      );
      await route.fulfill({ response, json: { ...rest, messages: told } });
    });
    await tab.page.locator('.katex').nth(1).waitFor();
    await tab.page.locator('.hljs-keyword').waitFor();
    const tasks = await Tasks.of(world.browser, tab);
    for (const [index, { name }] of kinds.entries()) {
      const chat = chats[index] ?? '';
      await tasks.section(name);
      await open(tab, chat);
      await tasks.section(LEAVING);
      await open(tab, warm);
    }
    const longest = await tasks.longest();
    const slow = [...longest].filter(([name, most]) => name !== LEAVING && most >= LIMIT);
    expect(slow, 'the longest tasks, in ms of CPU').toEqual([]);
  },
  180_000,
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
    const tasks = await Tasks.of(world.browser, tab);
    await tasks.section(name);
    world.upstream.open(gate);
    await stop.waitFor({ state: 'detached', timeout: 60_000 });
    await tab.page
      .locator('article.assistant .prose:not([aria-busy]) > *')
      .first()
      .waitFor({ timeout: 60_000 });
    const longest = await tasks.longest();
    expect(longest.get(name), `longest task of "${name}", in ms of CPU`).toBeLessThan(LIMIT);
  },
  180_000,
);

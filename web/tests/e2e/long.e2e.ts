import { beforeAll, expect, test } from 'vitest';
import type { Api } from './support/api';
import { say } from './support/say';
import { frames, offsetOf, scrollOf, wholeChat } from './support/scroll';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();
/** Two pages and a half of messages. */
const TURNS = 250;
const PAGE = 200;

let user: Api;
let chat: string;
beforeAll(async () => {
  user = await world.user();
  const text = (n: number) =>
    `say\nAnswer ${n}.\n\n${'Some words of it. '.repeat(1 + (n % 30))}\n\nEnd ${n}.`;
  chat = await user.ask(text(1));
  for (let n = 2; n <= TURNS; n += 1) await user.ask(text(n), { conversation_id: chat });
}, 90_000);

/** Opens the chat; what precedes its end waits until the returned function is called. */
async function openHeld(): Promise<{ tab: Tab; release: () => void }> {
  const tab = await world.tab('/', { user });
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await tab.page.route(/\/messages\?.*cursor=/, async (route) => {
    await released;
    // The tab may have gone.
    await route.continue().catch(() => undefined);
  });
  await tab.goto(`/c/${chat}`);
  await wholeChat(tab, PAGE);
  return { tab, release };
}

const shown = (tab: Tab, n: number) => tab.page.getByText(`End ${n}.`, { exact: true }).last();
const earlier = (tab: Tab) => tab.page.getByText(say('chat.earlier'));
const toBegin = (tab: Tab) => tab.page.locator('[role="log"]').evaluate((log) => log.scrollTo({ top: 0 }));

test('its end is shown with one page; the rest comes by itself and moves nothing that is read', async () => {
  const { tab, release } = await openHeld();
  await shown(tab, TURNS).waitFor();
  expect(await tab.articles.count()).toBe(PAGE);
  const { top, max } = await scrollOf(tab);
  expect(max - top, 'at its end').toBeLessThan(2);
  await earlier(tab).waitFor();
  // Somewhere in the middle of what is here.
  await tab.page.mouse.move(600, 300);
  await tab.page.mouse.wheel(0, -120);
  await shown(tab, TURNS - 50).scrollIntoViewIfNeeded();
  await frames(tab, 20);
  const before = await offsetOf(tab, `End ${TURNS - 50}.`);
  release();
  await wholeChat(tab, 2 * TURNS);
  await earlier(tab).waitFor({ state: 'detached' });
  await frames(tab, 20);
  expect(Math.abs((await offsetOf(tab, `End ${TURNS - 50}.`)) - before)).toBeLessThan(1.5);
  const text = await tab.page.locator('[role="log"]').textContent();
  const places = Array.from({ length: TURNS }, (_, n) => text?.lastIndexOf(`End ${n + 1}.`) ?? -1);
  expect(
    places.filter((at, n) => at <= (places[n - 1] ?? 0)),
    'all of it, in order',
  ).toEqual([]);
});

test('who waits at the beginning of what is here stays with it', async () => {
  const { tab, release } = await openHeld();
  await toBegin(tab);
  await earlier(tab).waitFor();
  const first = TURNS - PAGE / 2 + 1;
  await frames(tab, 20);
  const before = await offsetOf(tab, `Answer ${first}.`);
  release();
  await wholeChat(tab, 2 * TURNS);
  await frames(tab, 20);
  expect(Math.abs((await offsetOf(tab, `Answer ${first}.`)) - before)).toBeLessThan(1.5);
});

test('a place that is far from the end is kept over a reload', async () => {
  const tab = await world.tab(`/c/${chat}`, { user });
  await wholeChat(tab, 2 * TURNS);
  await tab.page.mouse.move(600, 300);
  await tab.page.mouse.wheel(0, -120);
  await shown(tab, 9).scrollIntoViewIfNeeded();
  await frames(tab, 20);
  const before = await offsetOf(tab, 'End 9.');
  await tab.page.reload();
  await wholeChat(tab, 2 * TURNS);
  await frames(tab, 20);
  expect(Math.abs((await offsetOf(tab, 'End 9.')) - before)).toBeLessThan(1.5);
});

test('on paper it says so while something is missing', async () => {
  const { tab, release } = await openHeld();
  await tab.page.emulateMedia({ media: 'print' });
  expect(await earlier(tab).isVisible()).toBe(true);
  await tab.page.emulateMedia({ media: 'screen' });
  release();
  await earlier(tab).waitFor({ state: 'detached' });
});

test('the end stays the end, and a question can be asked, while the rest comes', async () => {
  const { tab, release } = await openHeld();
  release();
  await tab.send('words 3');
  await tab.expectWords(user, 3);
  await wholeChat(tab, 2 * TURNS + 2);
  await tab.page.getByRole('log').focus();
  await tab.page.keyboard.press('End');
  await frames(tab, 30);
  const { top, max } = await scrollOf(tab);
  expect(max - top).toBeLessThan(2);
});

import { afterEach, expect, test } from 'vitest';
import { check } from './support/axe';
import { inChromium } from './support/in_chromium';
import { say, saying } from './support/say';
import { frames } from './support/scroll';
import type { Tab } from './support/tab';
import { Thinker } from './support/thinker';
import { useWorld } from './support/world';

const world = useWorld();
let thinker: Thinker | undefined;

afterEach(async () => {
  await thinker?.stop();
  thinker = undefined;
});

const sentences = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `Thought ${from + n}.\n\n`).join('');

/** A tab before a model that thinks aloud. It stands at its one conversation, where something was asked before. */
async function begin(path: 'new' | 'asked', options: object = {}) {
  thinker = await Thinker.start(world.server.web);
  const model = thinker;
  if (path === 'asked') model.ask('What is a cache?');
  const user = await world.user();
  const tab = await world.tab(path === 'new' ? '/' : model.path, { user, origin: model.origin, ...options });
  if (path === 'new') {
    await tab.send('What is a cache?');
    await tab.articles.nth(1).waitFor();
  }
  return { tab, model };
}

const reasoning = (tab: Tab) => tab.articles.last().locator('.reasoning');
const header = (tab: Tab) => reasoning(tab).getByRole('button').first();
const thoughts = (tab: Tab) => reasoning(tab).locator('.thoughts');
const thoughtText = async (tab: Tab) => (await thoughts(tab).textContent())?.trim();
const box = (tab: Tab) => reasoning(tab).getByRole('region');

async function named(tab: Tab, name: string | RegExp) {
  await reasoning(tab).getByRole('button', { name }).waitFor();
}

test('the page says that the model thinks, and then how long; opened by keyboard, it grows in sight', async () => {
  const { tab, model } = await begin('new');
  model.think('Let **me** see.\n\n');
  await named(tab, say('chat.thinking'));
  expect(await header(tab).getAttribute('aria-expanded')).toBe('false');
  await expect.poll(() => reasoning(tab).locator('.seconds').textContent()).toMatch(/^\ds$/);
  await header(tab).focus();
  await tab.page.keyboard.press('Enter');
  await thoughts(tab).locator('strong').waitFor();
  expect(await header(tab).getAttribute('aria-expanded')).toBe('true');
  model.think(sentences(1, 60));
  await thoughts(tab).getByText('Thought 60.', { exact: true }).waitFor();
  // Its newest line is in sight.
  const distance = () => box(tab).evaluate((each) => each.scrollHeight - each.clientHeight - each.scrollTop);
  await expect.poll(distance).toBeLessThan(2);
  const { height = 0 } = (await box(tab).boundingBox()) ?? {};
  expect(height).toBeLessThan(300);
  // Who reads further up is left alone.
  await box(tab).hover();
  await tab.page.mouse.wheel(0, -200);
  await expect.poll(distance).toBeGreaterThan(100);
  model.think(sentences(61, 70));
  await thoughts(tab).getByText('Thought 70.', { exact: true }).waitFor();
  expect(await distance()).toBeGreaterThan(100);
  model.say('A cache keeps things near.');
  await tab.answerToBe((text) => text === 'A cache keeps things near.', 'the answer');
  await named(tab, saying('chat.thought_for'));
  expect((await box(tab).boundingBox())?.height, 'its box is as tall as it was').toBeCloseTo(height, 0);
  await tab.page.keyboard.press('Space');
  expect(await header(tab).getAttribute('aria-expanded')).toBe('false');
  model.complete();
  await tab.button('chat.copy_answer').waitFor();
});

test('nothing moves when the thoughts begin, nor when the answer does', async () => {
  const { tab, model } = await begin('new');
  const line = tab.articles.last().locator('.thinking');
  await line.waitFor();
  await frames(tab, 30);
  const before = await line.boundingBox();
  model.think('Hm');
  await named(tab, say('chat.thinking'));
  const while_ = await header(tab).boundingBox();
  expect([while_?.y, while_?.x, while_?.height]).toEqual([before?.y, before?.x, before?.height]);
  model.say('Words.');
  await tab.answerToBe((text) => text === 'Words.', 'the answer');
  const after = await header(tab).boundingBox();
  expect([after?.y, after?.x, after?.height]).toEqual([before?.y, before?.x, before?.height]);
  const place = () => tab.page.locator('article .prose').last().boundingBox();
  const text = await place();
  model.complete();
  await tab.button('chat.copy_answer').waitFor();
  expect((await place())?.y).toBe(text?.y);
});

test('a reload in mid-thought goes on where it was, as open as it was', async () => {
  const { tab, model } = await begin('new');
  model.think('One. ');
  await header(tab).click();
  await expect.poll(() => thoughtText(tab)).toBe('One.');
  await tab.goto(model.path);
  await expect.poll(() => thoughtText(tab)).toBe('One.');
  expect(await header(tab).getAttribute('aria-expanded')).toBe('true');
  model.think('Two.');
  await expect.poll(() => thoughtText(tab)).toBe('One. Two.');
  model.say('Yes.');
  await tab.answerToBe((text) => text === 'Yes.', 'the answer');
  expect(await thoughtText(tab)).toBe('One. Two.');
  model.complete();
  await named(tab, saying('chat.thought_for'));
});

test('cut connections lose and double nothing; what is void goes', async () => {
  const { tab, model } = await begin('new');
  model.think('One. ');
  await header(tab).click();
  await expect.poll(() => thoughtText(tab)).toBe('One.');
  model.cut();
  model.think('Two. ');
  await expect.poll(() => thoughtText(tab)).toBe('One. Two.');
  model.cut();
  model.askAgain();
  model.think('Three.');
  await expect.poll(() => thoughtText(tab)).toBe('Three.');
  model.cut();
  model.say('Yes.');
  await tab.answerToBe((text) => text === 'Yes.', 'the answer');
  model.complete();
  await tab.button('chat.copy_answer').waitFor();
});

test('a second tab sees the same, and a stop there ends both', async () => {
  const { tab, model } = await begin('new');
  model.think('One. ');
  await named(tab, say('chat.thinking'));
  const other = await world.sibling(tab, model.path);
  for (const each of [tab, other]) await header(each).click();
  model.think('Two.');
  for (const each of [tab, other]) await expect.poll(() => thoughtText(each)).toBe('One. Two.');
  await other.button('composer.stop').click();
  for (const each of [tab, other]) {
    await each.inAnswer('chat.stopped').waitFor();
    await named(each, saying('chat.thought_for'));
    expect(await each.button('chat.continue').count(), 'there is nothing to continue').toBe(0);
  }
});

test('an answer that fails after its thoughts keeps them, and a retry has its own', async () => {
  const { tab, model } = await begin('new');
  model.think('In vain.');
  await named(tab, say('chat.thinking'));
  model.fail();
  await tab.button('chat.retry').waitFor();
  await header(tab).click();
  await expect.poll(() => thoughtText(tab)).toBe('In vain.');
  await tab.button('chat.retry').click();
  await tab.articles.last().locator('.thinking').waitFor();
  model.think('Better.');
  await header(tab).click();
  await expect.poll(() => thoughtText(tab)).toBe('Better.');
  model.say('Yes.');
  model.complete();
  await tab.answerToBe((text) => text === 'Yes.', 'the answer');
});

test('the answer alone is copied', async () => {
  const { tab, model } = await begin('new', { permissions: ['clipboard-read', 'clipboard-write'] });
  model.think('Not for others.');
  model.say('For **all**.');
  model.complete();
  await tab.button('chat.copy_answer').click();
  await expect.poll(() => tab.page.evaluate(() => navigator.clipboard.readText())).toBe('For **all**.');
});

test('an opened thought at the end of a chat stays where it was clicked', async () => {
  const { tab, model } = await begin('asked');
  model.think(sentences(1, 80));
  model.say(sentences(1, 6));
  model.complete();
  await named(tab, saying('chat.thought_for'));
  await tab.page.getByText('Thought 6.', { exact: true }).last().waitFor();
  await frames(tab, 10);
  const before = await header(tab).boundingBox();
  await header(tab).click();
  await frames(tab, 30);
  expect((await header(tab).boundingBox())?.y).toBeCloseTo(before?.y ?? 0, 0);
  await thoughts(tab).getByText('Thought 80.', { exact: true }).waitFor();
});

const PRINT = 'on paper is what is open, whole, with its name; what is closed is not there';
inChromium('its driver prints', PRINT, async () => {
  const { tab, model } = await begin('asked');
  model.think(sentences(1, 60));
  model.say('Yes.');
  model.complete();
  await named(tab, saying('chat.thought_for'));
  await tab.page.emulateMedia({ media: 'print' });
  expect(await reasoning(tab).isVisible()).toBe(false);
  await tab.page.emulateMedia({ media: 'screen' });
  await header(tab).click();
  await tab.page.emulateMedia({ media: 'print' });
  expect(await header(tab).isVisible()).toBe(true);
  const cut = await box(tab).evaluate((each) => each.scrollHeight - each.clientHeight);
  expect(cut, 'all of it').toBeLessThan(2);
  await tab.page.emulateMedia({ media: 'screen' });
});

test('without a finding: while it is thought, closed and open, and afterwards', async () => {
  const { tab, model } = await begin('asked');
  model.think(`## A heading\n\n${sentences(1, 40)}`);
  await check(tab, () => named(tab, say('chat.thinking')));
  await header(tab).click();
  await check(tab, () => thoughts(tab).getByText('Thought 40.', { exact: true }).waitFor());
  model.say('## Another\n\nYes.');
  model.complete();
  await check(tab, () => named(tab, saying('chat.thought_for')));
});

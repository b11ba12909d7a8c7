import { expect, test } from 'vitest';
import { PASSWORD } from './support/api';
import { inChromium } from './support/in_chromium';
import { say, saying } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();
const MOTION = 'the first question moves the composer in one motion; without motion where none is wanted';

/** The composer's box. */
const box = (tab: Tab) => tab.page.locator('form .box');
const heightOf = async (tab: Tab) => Math.round((await box(tab).boundingBox())?.height ?? 0);
/** Where an element ends at its right edge. */
const endOf = (tab: Tab, selector: string) =>
  tab.page
    .locator(selector)
    .last()
    .evaluate((element) => Math.round(element.getBoundingClientRect().right));
const startOf = (tab: Tab, selector: string) =>
  tab.page
    .locator(selector)
    .last()
    .evaluate((element) => {
      const range = document.createRange();
      range.selectNodeContents(element);
      return Math.round(range.getBoundingClientRect().left);
    });

test('the composer is one row until its text wraps, and its note stands only below an empty chat', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.button('composer.send').waitFor();
  await expect.poll(() => heightOf(tab)).toBe(56);
  await tab.page.getByText(say('composer.note')).waitFor();
  await tab.composer.fill('a few words');
  expect(await heightOf(tab)).toBe(56);
  await tab.composer.fill('many words '.repeat(12));
  await expect.poll(() => heightOf(tab)).toBeGreaterThan(80);
  await tab.composer.fill('two\nlines');
  await expect.poll(() => heightOf(tab)).toBeGreaterThan(80);
  await tab.composer.fill('words 3');
  await expect.poll(() => heightOf(tab)).toBe(56);
  await tab.composer.press('Enter');
  await tab.expectWords(user, 3);
  expect(await tab.page.getByText(say('composer.note')).count()).toBe(0);
});

test('the box rings only for whoever comes by the keyboard', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.composer.click();
  const colour = () => box(tab).evaluate((element) => getComputedStyle(element).borderTopColor);
  const accent = await tab.button('composer.send').evaluate((button) => {
    const probe = document.createElement('i');
    probe.className = 'probe';
    button.append(probe);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync('.probe { color: var(--accent) }');
    document.adoptedStyleSheets = [sheet];
    return getComputedStyle(probe).color;
  });
  await expect.poll(colour).not.toBe(accent);
  await tab.page.keyboard.press('Tab');
  await tab.page.keyboard.press('Shift+Tab');
  await expect.poll(colour).toBe(accent);
  await tab.composer.click();
  await tab.page.keyboard.press('Shift+Escape');
  expect(await tab.composer.evaluate((area) => area === document.activeElement)).toBe(true);
});

test.each([
  [320, 200],
  [320, 256],
  [640, 360],
])('in a window of %i×%i the composer is one low row without a note', async (width, height) => {
  const user = await world.user();
  const conversation = await user.ask('words 200');
  const tab = await world.tab(`/c/${conversation}`, { user, viewport: { width, height } });
  await tab.composer.fill('many words '.repeat(12));
  expect(await tab.page.locator('form').evaluate((form) => form.clientHeight)).toBeLessThan(height / 3);
  await tab.composer.fill('');
  expect(await heightOf(tab)).toBeLessThanOrEqual(48);
  const log = await tab.page.getByRole('log').boundingBox();
  expect(log?.height).toBeGreaterThanOrEqual(height / 2);
  await tab.goto('/');
  await tab.button('composer.send').waitFor();
  const bottom = (await box(tab).boundingBox()) ?? { y: 0, height: 0 };
  expect(height - bottom.y - bottom.height, 'at the bottom').toBeLessThan(16);
});

test('on a phone a new chat has its composer at the bottom and two starters above it', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user, viewport: { width: 360, height: 720 } });
  const chips = tab.page.getByRole('list', { name: say('chat.starters') }).getByRole('listitem');
  await expect.poll(() => chips.count()).toBe(2);
  const chip = await chips.last().boundingBox();
  const composer = await box(tab).boundingBox();
  expect((chip?.y ?? 0) + (chip?.height ?? 0)).toBeLessThanOrEqual(composer?.y ?? 0);
  expect(720 - (composer?.y ?? 0) - (composer?.height ?? 0)).toBeLessThan(60);
  await chips.first().click();
  await tab.articles.first().waitFor();
});

inChromium('its driver asks for less motion', MOTION, async () => {
  const user = await world.user();
  for (const reducedMotion of ['no-preference', 'reduce'] as const) {
    const tab = await world.tab('/', { user, reducedMotion });
    await tab.page.evaluate(() => {
      const motions: unknown[] = [];
      Reflect.set(window, 'motions', motions);
      const { animate } = Element.prototype;
      Element.prototype.animate = function noted(this: Element, keyframes, options) {
        if (this.matches('.box')) motions.push([keyframes, options]);
        return animate.call(this, keyframes, options);
      };
    });
    await tab.send('words 5');
    await tab.expectWords(user, 5);
    await tab.send('words 6');
    await tab.expectWords(user, 6);
    const motions = await tab.page.evaluate(() => Reflect.get(window, 'motions'));
    const once = [
      [{ translate: [expect.stringMatching(/^0 -\d+/), '0 0'] }, expect.objectContaining({ duration: 220 })],
    ];
    expect([reducedMotion, motions]).toEqual([reducedMotion, reducedMotion === 'reduce' ? [] : once]);
  }
});

test('an answer’s end is one row: icons that name model and time, then how it ended', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 3');
  await tab.expectWords(user, 3);
  const about = tab.articles.last().getByRole('button', { name: /^steady\/scripted · .*\d{2}:\d{2}/ });
  await about.click();
  await expect
    .poll(() => tab.page.locator('.tooltip:popover-open').textContent())
    .toContain('steady/scripted · ');
  expect(await tab.articles.last().getByText('scripted', { exact: true }).count(), 'no news').toBe(0);
  await tab.chooseModel('brittle/scripted-large');
  await tab.send('words 60 every 10 hold 20 end');
  await tab.answerToBe((text) => text.includes('w10 '), 'ten words');
  await tab.button('composer.stop').click();
  const stopped = tab.inAnswer('chat.stopped');
  await stopped.waitFor();
  await tab.articles.last().getByText('scripted-large', { exact: true }).waitFor();
  const [words, icon] = [await stopped.boundingBox(), await tab.button('chat.copy_answer').boundingBox()];
  const middle = (of: typeof words) => (of?.y ?? 0) + (of?.height ?? 0) / 2;
  expect(Math.abs(middle(words) - middle(icon)), 'in one row').toBeLessThan(4);
  expect((words?.x ?? 0) > (icon?.x ?? 0), 'icons first').toBe(true);
});

test('the title stands where the messages do, and its menu at the edge', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 3');
  for (const width of [768, 1280, 1920]) {
    const tab = await world.tab(`/c/${conversation}`, { user, viewport: { width, height: 800 } });
    await tab.expectWords(user, 3);
    expect(width - (await endOf(tab, 'header [aria-haspopup=menu]')), `${width}`).toBeLessThan(24);
    if (width > 1200) expect(await startOf(tab, 'h1')).toBe(await startOf(tab, '.prose p'));
  }
});

test('a title in another direction begins where all titles begin', async () => {
  const user = await world.user();
  for (const title of ['Latin', 'مرحبا', 'مرحبا بالعالم هذا عنوان طويل جدا لمحادثة قديمة هنا وهناك'])
    await user.request('POST', '/conversations', { title });
  const tab = await world.tab('/', { user });
  await tab.chatLink('Latin').waitFor();
  const rows = tab.page.locator('nav li bdi');
  const starts = await rows.evaluateAll((titles) =>
    titles.map((title) => {
      const range = document.createRange();
      range.selectNodeContents(title);
      return Math.round(Math.max(range.getBoundingClientRect().left, title.getBoundingClientRect().left));
    }),
  );
  expect(new Set(starts).size, String(starts)).toBe(1);
});

test('a chat without messages greets like a new one, and is asked in', async () => {
  const user = await world.user();
  const made = await user.request('POST', '/conversations', { title: 'Nothing yet' });
  const { id } = (await made.json()) as { id: string };
  const tab = await world.tab(`/c/${id}`, { user });
  await tab.page.getByText(new RegExp(`^Good \\w+, ${user.username}$`)).waitFor();
  await tab.page.getByRole('list', { name: say('chat.starters') }).waitFor();
  await tab.send('words 4');
  await tab.expectWords(user, 4);
  expect(tab.conversationId).toBe(id);
});

test('what was left unfinished is offered to go on with', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 3');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.expectWords(user, 3);
  await tab.composer.fill('half a thought');
  await tab.page.keyboard.press('Control+Shift+o');
  await tab.page.getByRole('link', { name: say('chat.go_on', { title: 'words 3' }) }).click();
  await expect.poll(() => tab.composer.inputValue()).toBe('half a thought');
  expect(tab.conversationId).toBe(conversation);
});

test('a chat that is not there: one calm page, and what is asked there begins a new chat', async () => {
  const user = await world.user();
  const gone = '/c/0190a6e1-0000-7000-8000-000000000000';
  const tab = await world.tab(gone, { user });
  await tab.page.getByText(say('chat.missing')).waitFor();
  await tab.page.getByRole('link', { name: say('shell.to_start') }).waitFor();
  await tab.composer.fill('words 6');
  await tab.composer.press('Enter');
  await tab.expectWords(user, 6);
  expect(await user.conversations()).toHaveLength(1);
  await tab.page.keyboard.press('Control+Shift+o');
  await expect.poll(() => tab.composer.inputValue(), { message: 'sent, and no draft any more' }).toBe('');
});

test('language and theme are chosen before the sign-in, and stay', async () => {
  const user = await world.user();
  const tab = await world.tab('/login');
  await tab.page.getByRole('button', { name: saying('shell.language_is') }).click();
  await tab.page.getByRole('menuitemradio', { name: 'Deutsch' }).click();
  await tab.page.getByRole('button', { name: 'Darstellung' }).click();
  await tab.page.getByRole('menuitemradio', { name: 'Dunkel' }).click();
  await tab.page.getByLabel('Benutzername oder E-Mail').fill(user.username);
  await tab.page.getByLabel('Passwort', { exact: true }).fill(PASSWORD);
  await tab.page.getByRole('button', { name: 'Anmelden', exact: true }).click();
  const created = tab.page.getByRole('link', { name: 'Neuer Chat' });
  await created.waitFor();
  const root = () =>
    tab.page.evaluate(() => [document.documentElement.lang, document.documentElement.dataset.theme]);
  expect(await root()).toEqual(['de', 'dark']);
  // One line, whatever the hint beside it.
  await created.hover();
  const lines = await created.getByText('Neuer Chat').evaluate((words) => words.getClientRects().length);
  expect(lines).toBe(1);
  expect((await created.boundingBox())?.height).toBeLessThan(44);
  await tab.page.reload();
  await created.waitFor();
  expect(await root()).toEqual(['de', 'dark']);
});

test('a dialog is as tall as what it holds and has the first focus itself', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.composer.waitFor();
  await tab.page.keyboard.press('Control+/');
  const dialog = tab.page.getByRole('dialog', { name: say('shell.shortcuts') });
  await dialog.waitFor();
  const focused = () => tab.page.evaluate(() => document.activeElement?.tagName);
  expect(await focused()).toBe('DIALOG');
  const sizes = () =>
    dialog.evaluate((element) => [
      Math.round(element.getBoundingClientRect().height),
      Math.round(element.querySelector('.sheet')?.getBoundingClientRect().height ?? 0) + 2,
    ]);
  const [whole, sheet] = await sizes();
  expect(whole).toBe(sheet);
  await tab.page.setViewportSize({ width: 360, height: 320 });
  const body = dialog.locator('.body');
  expect((await sizes())[0]).toBeLessThan(320);
  expect(await body.evaluate((element) => element.scrollHeight > element.clientHeight), 'it scrolls').toBe(
    true,
  );
  await tab.page.keyboard.press('Escape');
  await tab.button('sidebar.open').click();
  await tab.page.getByRole('navigation').waitFor();
  expect(await focused()).toBe('DIALOG');
});

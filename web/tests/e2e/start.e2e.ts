import type { Route } from 'playwright-core';
import { expect, test } from 'vitest';
import { BARE } from './support/events';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();

const SCRIPT = '**/assets/index-*.js';
const SHEET = '**/assets/index-*.css';
const JAVASCRIPT = { contentType: 'text/javascript' };

/** Whether the sentence on what the page needs is to be seen, in each of its languages. */
async function said(tab: Tab): Promise<boolean[]> {
  const sentences = tab.page.locator('.unstarted p');
  expect(await sentences.count()).toBe(2);
  return Promise.all([sentences.first().isVisible(), sentences.last().isVisible()]);
}

/** The page, where one of its files is something else. */
async function changed(file: string, answer: (route: Route) => Promise<void>): Promise<Tab> {
  const tab = await world.tab(BARE);
  await tab.page.route(file, answer);
  await tab.goto('/');
  return tab;
}

const SCRIPTS: Record<string, (route: Route) => Promise<void>> = {
  'is lost': (route) => route.abort(),
  'is not there': (route) => route.fulfill({ status: 404, body: '' }),
  'is in a language that this browser does not speak': (route) =>
    route.fulfill({ ...JAVASCRIPT, body: 'let page = !;' }),
  'needs what this browser does not have': (route) =>
    route.fulfill({ ...JAVASCRIPT, body: 'document.notYetInvented();' }),
  'needs a part that is lost': (route) => route.fulfill({ ...JAVASCRIPT, body: 'import "./lost.js";' }),
};

for (const [what, answer] of Object.entries(SCRIPTS)) {
  test(`a script that ${what} leaves no blank page`, async () => {
    const tab = await changed(SCRIPT, answer);
    await expect.poll(() => said(tab)).toEqual([true, true]);
    // The script's own error is what this is about.
    tab.forgive();
  });
}

const SHEETS = { colours: ['light-dark(', 'dusk-dawn('], menus: [':popover-open', ':popover-ajar'] } as const;

for (const [what, [known, unknown]] of Object.entries(SHEETS)) {
  test(`a browser without the page's ${what} is told`, async () => {
    const tab = await changed(SHEET, async (route) => {
      const response = await route.fetch();
      const body = await response.text();
      expect(body).toContain(known);
      await route.fulfill({ response, body: body.replaceAll(known, unknown) });
    });
    // Even where the scripts run: without those the page can't be used.
    await tab.page.locator('#app :first-child').first().waitFor({ state: 'attached' });
    expect(await said(tab)).toEqual([true, true]);
  });
}

test('a start that takes its time shows no sentence, at no moment', async () => {
  const tab = await world.tab(BARE);
  await tab.page.addInitScript(() => {
    const look = () => {
      if (document.querySelector('.unstarted')?.checkVisibility()) Reflect.set(window, 'flashed', true);
      requestAnimationFrame(look);
    };
    look();
  });
  let arrived = () => {};
  const asked = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await tab.page.route(SCRIPT, async (route) => {
    arrived();
    await released;
    await route.continue();
  });
  const open = tab.goto('/');
  await asked;
  // Painted, with all but the script.
  await tab.page.evaluate(async () => {
    for (let n = 0; n < 5; n += 1) await new Promise((painted) => requestAnimationFrame(painted));
  });
  expect(await said(tab)).toEqual([false, false]);
  release();
  await open;
  await tab.page.locator('form').waitFor();
  expect(await said(tab)).toEqual([false, false]);
  expect(await tab.page.evaluate(() => Reflect.get(window, 'flashed'))).toBeUndefined();
});

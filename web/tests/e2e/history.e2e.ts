import { expect, test } from 'vitest';
import { say } from './support/say';
import { useWorld } from './support/world';

const world = useWorld();
const DAY_MS = 24 * 60 * 60 * 1000;

test('chats are grouped by day', async () => {
  const user = await world.user();
  await user.request('POST', '/conversations', { title: 'grouped' });
  const tab = await world.tab('/', { user });
  const groups = [
    { days: 0, name: say('time.today') },
    { days: 1, name: say('time.yesterday') },
    { days: 4, name: say('time.week') },
    { days: 20, name: say('time.month') },
  ];
  const now = Date.now();
  for (const { days, name } of groups) {
    await tab.page.clock.setFixedTime(now + days * DAY_MS);
    await tab.page.reload();
    await tab.page
      .getByRole('region', { name, exact: true })
      .getByRole('link', { name: 'grouped' })
      .waitFor();
  }
});

test('a long history comes page by page, whole and in order', async () => {
  const user = await world.user();
  const titles = Array.from({ length: 120 }, (_, n) => `chat ${n + 1} of 120`);
  for (const title of titles) await user.request('POST', '/conversations', { title });
  const tab = await world.tab('/', { user });
  const links = tab.page.getByRole('link', { name: / of 120$/ });
  await links.first().waitFor();
  const shown = await links.count();
  expect(shown, 'not all at once').toBeLessThan(120);
  await expect
    .poll(
      async () => {
        await links.last().scrollIntoViewIfNeeded();
        return links.count();
      },
      { timeout: 10_000 },
    )
    .toBe(120);
  const order = await links.allInnerTexts();
  expect(order.map((text) => text.trim())).toEqual(titles.reverse());
});

test('a chat is renamed', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 2');
  const tab = await world.tab('/', { user });
  await tab.chatMenu('words 2', say('sidebar.rename'));
  await tab.page.keyboard.type('unwanted');
  await tab.page.keyboard.press('Escape');
  await tab.chatMenu('words 2', say('sidebar.rename'));
  await tab.page.keyboard.type('Two words');
  await tab.page.keyboard.press('Enter');
  await tab.chatLink('Two words').waitFor();
  await expect.poll(async () => (await user.conversations())[0]?.title).toBe('Two words');
  await tab.goto(`/c/${conversation}`);
  await expect.poll(() => tab.page.title()).toContain('Two words');
});

test('a deleted chat can be had back, until it is gone', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 2');
  await user.ask('words 3');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.chatMenu('words 2', say('sidebar.delete'));
  await tab.chatLink('words 2').waitFor({ state: 'detached' });
  expect(tab.conversationId, 'the page leaves a deleted chat').toBe('');
  await tab.button('toast.undo').click();
  await tab.chatLink('words 2').waitFor();
  expect(await user.conversations()).toHaveLength(2);

  await tab.chatMenu('words 2', say('sidebar.delete'));
  await tab.chatLink('words 2').waitFor({ state: 'detached' });
  // Leaving the page does not wait for an undo that can't come any more.
  await tab.page.reload();
  await expect.poll(async () => (await user.conversations()).map((each) => each.title)).toEqual(['words 3']);
  await tab.chatLink('words 3').waitFor();
  await tab.goto(`/c/${conversation}`);
  await tab.page.getByText(say('chat.missing')).first().waitFor();
});

test('going back to a chat that waits for Undo is Undo', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 2');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.expectWords(user, 2);
  const remove = async () => {
    await tab.page
      .locator('main header')
      .getByRole('button', { name: say('chat.menu') })
      .click();
    await tab.page.getByRole('menuitem', { name: say('sidebar.delete') }).click();
    await tab.button('toast.undo').waitFor();
    await expect.poll(() => tab.conversationId).toBe('');
  };
  await remove();
  await tab.page.goBack();
  await tab.button('toast.undo').waitFor({ state: 'detached' });
  await tab.chatLink('words 2').waitFor();
  await tab.send('words 7');
  await tab.expectWords(user, 7);

  await remove();
  // In another tab, by its address: the tab that deletes hears of it.
  const other = await world.sibling(tab, `/c/${conversation}`);
  await tab.button('toast.undo').waitFor({ state: 'detached' });
  await tab.chatLink('words 2').waitFor();
  await other.send('words 9');
  await other.expectWords(user, 9);
  expect((await user.conversations()).map((each) => each.title)).toEqual(['words 2']);
});

test('the row of a chat that is opened by its address is in sight, however old it is', async () => {
  const user = await world.user();
  const oldest = await user.ask('words 2');
  for (let n = 1; n <= 70; n += 1) await user.request('POST', '/conversations', { title: `newer ${n}` });
  const tab = await world.tab(`/c/${oldest}`, { user });
  await tab.page.waitForFunction(() => {
    const row = document.querySelector('nav [aria-current="page"]')?.getBoundingClientRect();
    const list = document.querySelector('nav .history')?.getBoundingClientRect();
    return row && list && row.height > 0 && row.top >= list.top && row.bottom <= list.bottom;
  });
  await expect.poll(() => tab.page.getByRole('link', { name: /^newer/ }).count()).toBeGreaterThan(40);
});

test('addresses, links and the back button agree', async () => {
  const user = await world.user();
  const [one, two] = [await user.ask('words 2'), await user.ask('words 3')];
  const tab = await world.tab(`/c/${one}`, { user });
  await tab.expectWords(user, 2);
  await tab.chatLink('words 3').click();
  await tab.expectWords(user, 3);
  expect(tab.conversationId).toBe(two);
  await tab.page.goBack();
  await tab.expectWords(user, 2);
  expect(tab.conversationId).toBe(one);
  await tab.page.goForward();
  await tab.expectWords(user, 3);
  await tab.page.keyboard.press('Control+Shift+O');
  await expect.poll(() => new URL(tab.page.url()).pathname).toBe('/');
  expect(await tab.articles.count()).toBe(0);
  await tab.goto('/nowhere');
  await tab.page.getByRole('link', { name: say('shell.to_start') }).waitFor();
});

test('another tab hears of new, renamed and deleted chats', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  const other = await world.sibling(tab, '/');
  await other.composer.waitFor();
  await tab.send('words 2');
  await other.chatLink('words 2').waitFor();
  await tab.chatMenu('words 2', say('sidebar.rename'));
  await tab.page.keyboard.type('seen elsewhere');
  await tab.page.keyboard.press('Enter');
  await other.chatLink('seen elsewhere').waitFor();
});

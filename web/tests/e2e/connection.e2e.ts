import { afterEach, expect, test } from 'vitest';
import { Network } from './support/network';
import { say } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();
let network: Network | undefined;

afterEach(async () => {
  await network?.stop();
  network = undefined;
});

const strip = (tab: Tab) => tab.page.getByRole('status').filter({ hasText: say('shell.try_now') });
const gone = (tab: Tab) => strip(tab).waitFor({ state: 'detached' });

/** Where the messages and the composer stand. */
const places = (tab: Tab) =>
  tab.page.evaluate(() =>
    ['[role="log"]', 'form'].map((selector) => {
      const { top, height } = document.querySelector(selector)?.getBoundingClientRect() ?? {};
      return [top, height];
    }),
  );

test('the server dies in mid-answer and comes back: both are said, and nothing moves', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 40 every 10 hold 20 dies');
  await tab.answerToBe((text) => text.includes('w20'), 'twenty words');
  const before = await places(tab);
  await world.server.kill();
  await strip(tab).getByText(say('shell.reconnecting')).waitFor();
  await strip(tab).getByText(say('shell.answers_go_on')).waitFor();
  expect(await places(tab)).toEqual(before);
  await world.server.startAgain();
  await gone(tab);
  world.upstream.open('dies');
  await tab.expectWords(user, 40);
});

test('the server dies while nothing is done, and comes back: both are noticed by themselves', async () => {
  const user = await world.user();
  const id = await user.ask('words 3');
  const tab = await world.tab(`/c/${id}`, { user });
  await tab.expectWords(user, 3);
  await world.server.kill();
  await strip(tab).getByText(say('shell.reconnecting')).waitFor();
  expect(await strip(tab).getByText(say('shell.answers_go_on')).count(), 'nothing runs there').toBe(0);
  await world.server.startAgain();
  await gone(tab);
  await tab.send('words 4');
  await tab.expectWords(user, 4);
});

test('a question that is sent to a dead server is answered when the server is back', async () => {
  const user = await world.user();
  const id = await user.ask('words 3');
  const tab = await world.tab(`/c/${id}`, { user });
  await tab.expectWords(user, 3);
  await world.server.kill();
  await tab.send('words 5');
  await strip(tab).waitFor();
  await world.server.startAgain();
  await gone(tab);
  await tab.expectWords(user, 5);
});

test('a device without a network says that it is the device', async () => {
  const user = await world.user();
  const id = await user.ask('words 3');
  const tab = await world.tab(`/c/${id}`, { user });
  await tab.expectWords(user, 3);
  await tab.page.context().setOffline(true);
  await strip(tab).getByText(say('shell.offline')).waitFor();
  expect(await strip(tab).getByText(say('shell.answers_go_on')).count()).toBe(0);
  await tab.page.context().setOffline(false);
  await gone(tab);
});

test('whoever presses the button keeps the focus in the page when the strip goes', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  await tab.composer.waitFor();
  network.down();
  await tab.send('words 2');
  await strip(tab).getByRole('button').focus();
  network.up();
  await strip(tab).getByRole('button').press('Enter');
  await gone(tab);
  expect(await tab.page.evaluate(() => document.activeElement?.tagName)).not.toBe('BODY');
  await tab.expectWords(user, 2);
  // The browser says itself which part of the page it could not load.
  tab.forgive();
});

test('a tab that was hidden while the server was away is right as soon as it is looked at', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  await tab.composer.waitFor();
  network.down();
  await tab.send('words 2');
  await strip(tab).waitFor();
  await tab.setHidden(true);
  network.up();
  await tab.setHidden(false);
  await gone(tab);
  await tab.expectWords(user, 2);
  // The browser says itself which part of the page it could not load.
  tab.forgive();
});

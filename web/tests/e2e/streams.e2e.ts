import { afterEach, expect, test } from 'vitest';
import { Network } from './support/network';
import { say } from './support/say';
import { isBeginningOfWords, words } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();
let network: Network | undefined;

afterEach(async () => {
  await network?.stop();
  network = undefined;
});

test('a reload in mid-answer goes on where it was', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 120 every 10 hold 60 reload');
  await tab.answerToBe((text) => text.includes('w20 '), 'twenty words');
  await tab.page.reload();
  await tab.answerToBe((text) => text.includes('w20 '), 'the twenty words again');
  expect(isBeginningOfWords(await tab.answer())).toBe(true);
  world.upstream.open('reload');
  await tab.expectWords(user, 120);
});

test('kill -9 in mid-answer: what was seen stays, and the sentence is finished', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.recordGrowth();
  await tab.send('words 120 every 10 hold 60 kill');
  await tab.answerToBe((text) => text.includes('w20 '), 'twenty words');
  await world.server.kill();
  const seen = await tab.answer();
  await tab.inAnswer('stream.reconnecting').waitFor();
  expect(await tab.answer(), 'nothing that was seen is taken away').toContain(seen);
  world.upstream.open('kill');
  await world.server.startAgain();
  expect((await tab.expectWords(user, 120)).status).toBe('completed');
  const growth = await tab.growth();
  expect(
    growth.filter((text) => !isBeginningOfWords(text)),
    'no word doubled on the way',
  ).toEqual([]);
  for (const [n, text] of growth.entries()) {
    if (n > 0) expect(text.length, 'it only grows').toBeGreaterThanOrEqual((growth[n - 1] ?? '').length);
  }
});

test('kill -9 with a model that cannot continue: interrupted, then continued by hand', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.chooseModel('brittle/scripted');
  await tab.send('words 100 every 10 hold 60 brittle');
  await tab.answerToBe((text) => text.includes('w20 '), 'twenty words');
  await world.server.kill();
  world.upstream.open('brittle');
  await world.server.startAgain();
  await tab.inAnswer('chat.interrupted').waitFor();
  const stored = (await user.messages(tab.conversationId)).at(-1);
  expect(stored?.status).toBe('interrupted');
  expect(await tab.answer()).toBe(stored?.content.trim());
  await tab.button('chat.continue').click();
  expect((await tab.expectWords(user, 100)).status).toBe('completed');
});

test('SIGTERM in mid-answer hands it to the next start', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 120 every 10 hold 60 sigterm');
  await tab.answerToBe((text) => text.includes('w20 '), 'twenty words');
  expect(await world.server.terminate()).toBe(0);
  world.upstream.open('sigterm');
  await world.server.startAgain();
  await tab.expectWords(user, 120);
});

test('offline and back', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  await tab.send('words 120 every 10 hold 60 offline');
  await tab.answerToBe((text) => text.includes('w20 '), 'twenty words');
  // The browser alone would keep the connection that it has.
  await tab.page.context().setOffline(true);
  network.down();
  await tab.inAnswer('stream.offline').waitFor();
  network.up();
  await tab.page.context().setOffline(false);
  world.upstream.open('offline');
  await tab.expectWords(user, 120);
});

test('a connection that is cut again and again loses nothing', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  await tab.recordGrowth();
  await tab.send('words 150 every 10 hold 120 cut');
  for (const word of ['w10 ', 'w40 ', 'w70 ', 'w100 ']) {
    await tab.answerToBe((text) => text.includes(word), word);
    network.cut();
  }
  world.upstream.open('cut');
  await tab.expectWords(user, 150);
  expect((await tab.growth()).filter((text) => !isBeginningOfWords(text))).toEqual([]);
});

test('an answer that ends while the network is down is there when it is back', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  await tab.send('words 60 every 10 hold 30 down');
  await tab.answerToBe((text) => text === words(30), 'thirty words');
  network.down();
  world.upstream.open('down');
  const id = tab.conversationId;
  await expect.poll(async () => (await user.messages(id)).at(-1)?.status).toBe('completed');
  expect(await tab.answer()).toBe(words(30));
  network.up();
  await tab.expectWords(user, 60);
});

test('a hidden tab catches up when it is shown again', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  await tab.send('words 80 every 10 hold 20 hidden');
  await tab.answerToBe((text) => text === words(20), 'twenty words');
  await tab.setHidden(true);
  network.down();
  world.upstream.open('hidden');
  const id = tab.conversationId;
  await expect.poll(async () => (await user.messages(id)).at(-1)?.status).toBe('completed');
  network.up();
  await tab.setHidden(false);
  await tab.expectWords(user, 80);
});

test('the same chat in two tabs: both see every word once', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 100 every 10 hold 60 two');
  await tab.answerToBe((text) => text.includes('w10 '), 'ten words');
  const other = await world.sibling(tab, `/c/${tab.conversationId}`);
  await other.answerToBe((text) => text.includes('w20 '), 'twenty words in the other tab');
  world.upstream.open('two');
  await tab.expectWords(user, 100);
  await other.expectWords(user, 100);
  await other.send('words 30 every 15');
  await other.expectWords(user, 30);
  await tab.expectWords(user, 30);
});

test('a stop in one tab ends it in the other', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 100 every 10 hold 60 stop');
  await tab.answerToBe((text) => text.includes('w10 '), 'ten words');
  const other = await world.sibling(tab, `/c/${tab.conversationId}`);
  await other.button('composer.stop').click();
  for (const each of [other, tab]) await each.inAnswer('chat.stopped').waitFor();
  const stored = (await user.messages(tab.conversationId)).at(-1)?.content.trim();
  for (const each of [other, tab]) expect(await each.answer()).toBe(stored);
});

test('eight chats are written at once: the list shows it, and the page stays usable', async () => {
  const user = await world.user();
  const chats: string[] = [];
  for (let n = 1; n <= 8; n += 1) chats.push(await user.askAndLeave(`words ${40 + n} hold 20 eight`));
  const tab = await world.tab(`/c/${chats[0]}`, { user });
  const dots = tab.page.getByText(say('sidebar.generating'));
  await expect.poll(() => dots.count()).toBe(8);
  await tab.chatLink('words 48 hold 20 eight').click();
  await tab.answerToBe((text) => text === words(20), 'another chat opens while all are written');
  await tab.chatMenu('words 47 hold 20 eight', say('sidebar.rename'));
  await tab.page.keyboard.type('renamed meanwhile');
  await tab.page.keyboard.press('Enter');
  await expect
    .poll(async () => (await user.conversations()).some((each) => each.title === 'renamed meanwhile'))
    .toBe(true);
  world.upstream.open('eight');
  await tab.expectWords(user, 48);
  await expect.poll(() => dots.count(), { timeout: 10_000 }).toBe(0);
  await tab.page.getByText(say('sidebar.unread')).first().waitFor();
});

test('eight tabs over six connections: all of them get all of it', async () => {
  const user = await world.user();
  const chats: string[] = [];
  for (let n = 1; n <= 8; n += 1) chats.push(await user.askAndLeave(`words ${60 + n} hold 20 tabs`));
  const first = await world.tab(`/c/${chats[0]}`, { user });
  const tabs = [first];
  for (const id of chats.slice(1)) tabs.push(await world.sibling(first, `/c/${id}`));
  for (const tab of tabs) await tab.answerToBe((text) => text === words(20), 'the first words in every tab');
  world.upstream.open('tabs');
  for (const [n, tab] of tabs.entries()) await tab.expectWords(user, 61 + n);
});

test('a proxy that holds the answer back is named', async () => {
  const user = await world.user();
  network = await Network.start(world.server.web);
  const tab = await world.tab('/', { user, origin: network.origin });
  // All that the page needs to show an answer has come.
  await tab.send('words 2');
  await tab.expectWords(user, 2);
  network.hold();
  await tab.send('words 50 every 10');
  await tab.inAnswer('stream.held').waitFor();
  network.release();
  await tab.expectWords(user, 50);
});

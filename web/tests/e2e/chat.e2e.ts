import { expect, test } from 'vitest';
import { inChromium } from './support/in_chromium';
import { isBeginningOfWords, words } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();

test('an answer grows word by word, and its chat has an address and a title', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.recordGrowth();
  await tab.send('words 40 every 40');
  await tab.expectWords(user, 40);
  const seen = await tab.growth();
  expect(seen.filter((text) => !isBeginningOfWords(text))).toEqual([]);
  expect(new Set(seen).size, 'it came in many steps').toBeGreaterThan(5);
  expect(tab.conversationId).not.toBe('');
  await tab.chatLink('words 40 every 40').waitFor();
  await tab.page.reload();
  await tab.expectWords(user, 40);
});

test('stop keeps exactly the text, and continue finishes it', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 200 every 10 hold 100 stop');
  await tab.answerToBe((text) => text.includes('w20 '), 'twenty words');
  await tab.button('composer.stop').click();
  await tab.button('chat.continue').waitFor();
  const [, stored] = await user.messages(tab.conversationId);
  expect(stored?.status).toBe('stopped');
  expect(await tab.answer()).toBe(stored?.content.trim());
  expect(stored?.content.length).toBeLessThan(words(200).length);
  world.upstream.open('stop');
  await tab.button('chat.continue').click();
  expect((await tab.expectWords(user, 200)).status).toBe('completed');
});

test('Escape stops; an answer that ran into its limit can be continued', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 100 every 10 hold 60 escape');
  await tab.answerToBe((text) => text.includes('w5 '), 'five words');
  await tab.page.keyboard.press('Escape');
  await tab.button('chat.continue').waitFor();
  await tab.send('words 30 length 12 once');
  await expect.poll(() => tab.answer()).toBe(words(12));
  await tab.button('chat.continue').last().click();
  await tab.expectWords(user, 30);
});

test('a failed answer says why, keeps its text, and is tried again', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 20 cut 5 once');
  await tab.inAnswer('error.upstream_truncated').waitFor();
  expect(await tab.answer()).toBe(words(5));
  await tab.button('chat.retry').first().click();
  await tab.expectWords(user, 20);
  const messages = await user.messages(tab.conversationId);
  expect(messages.map((message) => message.status)).toEqual(['completed', 'failed', 'completed']);
  expect(messages[2]?.parent_id, 'a sibling').toBe(messages[1]?.parent_id);
});

test('a key that the provider refuses is an error in the answer', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('error 401');
  await tab.inAnswer('error.provider_auth').waitFor();
});

test('a new answer takes the place of the old one', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('attempt');
  await expect.poll(() => tab.answer()).toMatch(/^attempt \d+$/);
  const first = Number((await tab.answer()).split(' ')[1]);
  await tab.button('chat.retry').click();
  await expect.poll(() => tab.answer()).toBe(`attempt ${first + 1}`);
  expect(await tab.articles.count()).toBe(2);
  await tab.page.reload();
  await expect.poll(() => tab.answer()).toBe(`attempt ${first + 1}`);
});

test('question and answer are copied as they were written', async () => {
  const user = await world.user();
  const question = 'say\nSome **bold** text, `code` and\n\n- a list';
  const conversation = await user.ask(question);
  const tab = await world.tab(`/c/${conversation}`, {
    user,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const clipboard = () => tab.page.evaluate(() => navigator.clipboard.readText());
  await tab.button('chat.copy_answer').click();
  await expect.poll(clipboard).toBe('Some **bold** text, `code` and\n\n- a list');
  await tab.articles.first().hover();
  await tab.button('chat.copy_question').click();
  await expect.poll(clipboard).toBe(question);
});

test('drafts belong to their chats and survive a reload', async () => {
  const user = await world.user();
  const [one, two] = [await user.ask('words 2'), await user.ask('words 3')];
  const tab = await world.tab(`/c/${one}`, { user });
  await tab.expectWords(user, 2);
  await tab.composer.fill('for one');
  await tab.chatLink('words 3').click();
  await tab.expectWords(user, 3);
  expect(tab.conversationId).toBe(two);
  expect(await tab.composer.inputValue()).toBe('');
  await tab.composer.fill('for two');
  await tab.chatLink('words 2').click();
  await expect.poll(() => tab.composer.inputValue()).toBe('for one');
  await tab.page.reload();
  await expect.poll(() => tab.composer.inputValue()).toBe('for one');
  await tab.chatLink('words 3').click();
  await expect.poll(() => tab.composer.inputValue()).toBe('for two');
});

test('Shift+Enter makes a line, and Enter sends', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.composer.click();
  await tab.page.keyboard.type('one');
  await tab.page.keyboard.press('Shift+Enter');
  await tab.page.keyboard.type('two');
  expect(await tab.articles.count()).toBe(0);
  await tab.page.keyboard.press('Enter');
  await expect.poll(() => tab.answer()).toMatch(/^You said: one\stwo$/);
  expect((await user.messages(tab.conversationId))[0]?.content).toBe('one\ntwo');
});

inChromium('its driver has input methods', 'Enter of an input method sends nothing', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.composer.click();
  const devtools = await tab.page.context().newCDPSession(tab.page);
  // What a browser hears of an Enter that belongs to an input method.
  const enter = { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 } as const;
  await devtools.send('Input.imeSetComposition', { text: 'に', selectionStart: 1, selectionEnd: 1 });
  await devtools.send('Input.dispatchKeyEvent', enter);
  expect(await tab.articles.count()).toBe(0);
  await devtools.send('Input.insertText', { text: '二' });
  // Safari tells of the key after the composition has ended.
  await devtools.send('Input.dispatchKeyEvent', enter);
  expect(await tab.articles.count()).toBe(0);
  await tab.page.keyboard.press('Enter');
  await expect.poll(() => tab.answer()).toMatch(/^You said: 二$/);
  const questions = await user.messages(tab.conversationId);
  expect(questions.map((message) => message.content)).toEqual(['二', 'You said: 二']);
});

test('the chosen model answers, and stays chosen', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.chooseModel('brittle/scripted-large');
  await tab.send('words 3');
  expect((await tab.expectWords(user, 3)).model).toBe('brittle/scripted-large');
  await tab.page.reload();
  await tab.send('words 4');
  expect((await tab.expectWords(user, 4)).model).toBe('brittle/scripted-large');
});

test('a chat keeps its own model, also on another device', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.chooseModel('brittle/scripted-large');
  await tab.send('words 3');
  await tab.expectWords(user, 3);
  const chat = `/c/${tab.conversationId}`;
  // Nothing is remembered there.
  const other = await world.tab(chat, { user });
  await other.expectWords(user, 3);
  await other.send('words 4');
  expect((await other.expectWords(user, 4)).model).toBe('brittle/scripted-large');
});

test('typing goes on while an answer is written, and a second send waits', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 20 hold 10 typing');
  await tab.answerToBe((text) => text.startsWith('w1 '), 'the first words');
  await tab.composer.fill('words 5');
  await tab.composer.press('Enter');
  expect(await tab.articles.count()).toBe(2);
  world.upstream.open('typing');
  await tab.expectWords(user, 20);
  expect(await tab.composer.inputValue(), 'the text is kept').toBe('words 5');
  await tab.composer.press('Enter');
  await tab.expectWords(user, 5);
});

test('a question that comes too late is given back, and the answer under way is shown', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 2');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.expectWords(user, 2);
  await user.askAndLeave('words 20 hold 10 elsewhere', { conversation_id: conversation });
  await tab.send('words 3');
  await tab.answerToBe((text) => text === words(10), 'the other answer');
  expect(await tab.composer.inputValue()).toBe('words 3');
  world.upstream.open('elsewhere');
  await tab.expectWords(user, 20);
  await tab.composer.press('Enter');
  await tab.expectWords(user, 3);
});

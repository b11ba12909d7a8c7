import { afterAll, expect, test } from 'vitest';
import { Api, PASSWORD } from './support/api';
import { BusyProvider } from './support/busy_provider';
import { say } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

/** It says how long to wait: longer than the server waits by itself. */
const busy = await BusyProvider.start(45);
afterAll(() => busy.stop());
const world = useWorld({ PROVIDERS__BUSY__BASE_URL: busy.baseUrl });

/** What has the focus, in few words. */
const focused = (tab: Tab) =>
  tab.page.evaluate(() => {
    const element = document.activeElement;
    return element?.getAttribute('aria-label') ?? element?.id ?? element?.tagName;
  });
const inComposer = (tab: Tab) => expect.poll(() => focused(tab)).toBe(say('composer.question'));
/** Opens the focused button's menu by the keyboard, and chooses there. A menu takes the focus once it is shown. */
const chooseByKey = async (tab: Tab, name: string) => {
  await tab.page.keyboard.press('Enter');
  await expect
    .poll(() => tab.page.evaluate(() => document.activeElement?.getAttribute('role')))
    .toBe('menuitem');
  await tab.page.getByRole('menuitem', { name }).press('Enter');
};
const complaint = (tab: Tab) => tab.page.getByRole('alert');

test('an empty box never complains, and a hint goes when it is true no more', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 20 hold 10 hint');
  await tab.answerToBe((text) => text.startsWith('w1 '), 'the first words');
  await tab.composer.press('Enter');
  expect(await complaint(tab).count()).toBe(0);
  await tab.composer.fill('and then?');
  await tab.composer.press('Enter');
  await expect.poll(() => complaint(tab).textContent()).toContain(say('composer.busy'));
  world.upstream.open('hint');
  await tab.expectWords(user, 20);
  await expect.poll(() => complaint(tab).count()).toBe(0);
  expect(await tab.composer.inputValue()).toBe('and then?');
});

test('the focus is kept by stop, continue, try again and sign-in', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 60 every 10 hold 20 focus');
  await tab.answerToBe((text) => text.includes('w10 '), 'ten words');
  const stop = tab.button('composer.stop');
  await stop.focus();
  await tab.page.keyboard.press('Enter');
  await tab.inAnswer('chat.stopped').waitFor();
  await inComposer(tab);
  world.upstream.open('focus');
  await tab.button('chat.continue').focus();
  await tab.page.keyboard.press('Enter');
  await tab.expectWords(user, 60);
  await inComposer(tab);
  await tab.button('chat.retry').focus();
  await tab.page.keyboard.press('Enter');
  await tab.page.getByText(say('chat.version', { n: 2, of: 2 })).waitFor();
  await inComposer(tab);
  await tab.page.context().clearCookies();
  await tab.send('words 5');
  const dialog = tab.page.getByRole('dialog', { name: say('auth.expired_title') });
  await dialog.getByLabel(say('auth.password'), { exact: true }).fill(PASSWORD);
  await tab.page.keyboard.press('Enter');
  await tab.expectWords(user, 5);
  await inComposer(tab);
});

test('the focus is kept by menus, renaming, deleting and Undo', async () => {
  const user = await world.user();
  for (const title of ['one', 'two']) {
    const conversation = await user.ask('words 2');
    await user.rename(conversation, title);
  }
  const tab = await world.tab('/', { user });
  await tab.chatLink('one').click();
  await tab.expectWords(user, 2);
  const menu = tab.page.getByRole('main').getByRole('button', { name: say('chat.menu') });
  await menu.focus();
  await chooseByKey(tab, say('sidebar.rename'));
  await tab.page.keyboard.press('Escape');
  await expect.poll(() => focused(tab)).toBe(say('chat.menu'));
  await chooseByKey(tab, say('sidebar.delete'));
  await inComposer(tab);
  await tab.page.getByRole('button', { name: say('toast.undo') }).focus();
  await tab.page.keyboard.press('Enter');
  await inComposer(tab);
  await tab.chatMenu('two', say('sidebar.delete'));
  await expect.poll(() => focused(tab)).toContain('conversation-');
  await tab.page.getByRole('button', { name: say('shell.dismiss') }).focus();
  await tab.page.keyboard.press('Enter');
  await expect.poll(() => focused(tab)).toContain('conversation-');
});

test('a provider that is too busy is asked again once, after a pause that can be called off', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.page.clock.install();
  await tab.chooseModel('full');
  await tab.send('Are you there?');
  const next = tab.page.getByText(/^Trying again in 4\d seconds$/);
  await next.waitFor();
  const before = busy.asked;
  await tab.page.clock.fastForward(30_000);
  await tab.page.getByText(/^Trying again in 1\d seconds$/).waitFor();
  expect(busy.asked).toBe(before);
  await tab.page.clock.fastForward(16_000);
  await tab.page.getByText(say('chat.version', { n: 2, of: 2 })).waitFor();
  await tab.inAnswer('error.provider_rate_limited').waitFor();
  expect(await next.count(), 'the second time waits for its reader').toBe(0);
  await tab.send('And now?');
  await next.waitFor();
  await tab.button('chat.retry_cancel').click();
  await tab.page.clock.fastForward(60_000);
  expect(await next.count()).toBe(0);
  const asked = (await user.messages(tab.conversationId)).filter(({ role }) => role === 'assistant');
  await tab.page.reload();
  await tab.inAnswer('error.provider_rate_limited').waitFor();
  await tab.page.clock.fastForward(60_000);
  const now = (await user.messages(tab.conversationId)).filter(({ role }) => role === 'assistant');
  expect(now.length, 'an old failure is not asked again').toBe(asked.length);
});

test('a model that the provider does not know: another one is chosen where the error stands', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('error 404 once');
  await tab.inAnswer('error.model_not_found').waitFor();
  await tab.button('chat.other_model').click();
  await tab.page.getByRole('menuitemradio', { name: /^brittle\/scripted-large(?!\S)/ }).click();
  await tab.page.getByText(say('chat.version', { n: 2, of: 2 })).waitFor();
  const stored = (await user.messages(tab.conversationId)).at(-1);
  expect(stored?.model).toBe('brittle/scripted-large');
});

test('an answer that was cut off goes on where it was', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 20 cut 5 once');
  await tab.inAnswer('error.upstream_truncated').waitFor();
  await tab.button('chat.continue').click();
  await tab.expectWords(user, 20);
});

test('a refused key: people are told whom to tell, and an administrator what to do', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('error 401');
  await tab.inAnswer('error.provider_auth').waitFor();
  expect(await tab.articles.last().getByText(say('chat.advice_provider_auth')).count()).toBe(0);

  const admin = { username: 'root', email: 'root@example.com', password: PASSWORD };
  const registered = await fetch(`${world.server.api}/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...admin, setup_code: await world.server.setupCode() }),
  });
  expect(registered.status).toBe(201);
  const other = await world.tab('/', { user: await Api.signIn(world.server, 'root', PASSWORD) });
  await other.send('error 401');
  await other.inAnswer('chat.advice_provider_auth').waitFor();
});

test('the console stays quiet: signed out, in a chat that is not there, in one that was deleted elsewhere', async () => {
  const red: string[] = [];
  const listen = (tab: Tab) =>
    tab.page.on('console', (message) => {
      if (message.type() === 'error') red.push(message.text());
    });
  const out = await world.tab('/register');
  listen(out);
  for (const path of ['/', '/login', '/c/0190a6e1-0000-7000-8000-000000000000']) {
    await out.goto(path);
    await out.page.getByLabel(say('auth.password'), { exact: true }).waitFor();
  }
  const user = await world.user();
  const tab = await world.tab('/', { user });
  listen(tab);
  await tab.composer.waitFor();
  for (const id of ['0190a6e1-0000-7000-8000-000000000000', 'garbage']) {
    await tab.goto(`/c/${id}`);
    await tab.page.getByText(say('chat.missing')).waitFor();
  }
  const conversation = await user.ask('words 2');
  await tab.goto(`/c/${conversation}`);
  await tab.expectWords(user, 2);
  await user.request('DELETE', `/conversations/${conversation}`);
  await tab.page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await tab.page.getByText(say('chat.missing')).waitFor();
  expect(red).toEqual([]);
});

test('files that are dropped or pasted are refused in words; text beside a picture is pasted', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user, permissions: ['clipboard-read', 'clipboard-write'] });
  await tab.composer.fill('kept');
  const words = tab.page.getByText(say('toast.no_files'));
  /** Brings a file, as the browser's own drop does; gives whether the tab would open it. */
  const drop = () =>
    tab.page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['x'], 'picture.png', { type: 'image/png' }));
      const init = { bubbles: true, cancelable: true, dataTransfer: data };
      return document.body.dispatchEvent(new DragEvent('drop', init));
    });
  await expect.poll(drop).toBe(false);
  await words.waitFor();
  expect(await words.count()).toBe(1);
  await tab.button('shell.dismiss').click();
  const copy = (kinds: string[]) =>
    tab.page.evaluate(async (kinds) => {
      const canvas = new OffscreenCanvas(2, 2);
      canvas.getContext('2d')?.fillRect(0, 0, 2, 2);
      const made: Record<string, Blob> = {
        'image/png': await canvas.convertToBlob(),
        'text/plain': new Blob([' and text'], { type: 'text/plain' }),
      };
      const parts = Object.fromEntries(kinds.map((kind) => [kind, made[kind] as Blob]));
      await navigator.clipboard.write([new ClipboardItem(parts)]);
    }, kinds);
  await copy(['image/png']);
  await tab.composer.press('Control+v');
  await words.waitFor();
  expect(await tab.composer.inputValue()).toBe('kept');
  await tab.button('shell.dismiss').click();
  await copy(['image/png', 'text/plain']);
  await tab.composer.press('Control+v');
  await expect.poll(() => tab.composer.inputValue()).toBe('kept and text');
  expect(await words.count()).toBe(0);
  expect(new URL(tab.page.url()).pathname).toBe('/');
});

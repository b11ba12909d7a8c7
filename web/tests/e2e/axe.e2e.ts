import { test } from 'vitest';
import { check } from './support/axe';
import { say } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();

/** The sidebar, which is a drawer on narrow screens. */
async function openSidebar(tab: Tab) {
  const opener = tab.page.getByRole('button', { name: say('sidebar.open') });
  if (await opener.isVisible()) await opener.click();
  await tab.page.getByRole('navigation').waitFor();
}

test('the sign-in pages, faults included', async () => {
  const tab = await world.tab('/login');
  const submit = tab.page.getByRole('button', { name: say('auth.sign_in'), exact: true });
  await check(tab, () => submit.waitFor());
  await tab.goto('/register');
  await check(tab, () => tab.page.getByRole('button', { name: say('auth.create_account') }).click());
});

test('an empty chat, and what is not there', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await check(tab, () => tab.composer.waitFor());
  await tab.goto('/c/0190a6e1-0000-7000-8000-000000000000');
  await check(tab, () => tab.page.getByText(say('chat.missing')).first().waitFor());
  await tab.goto('/nowhere');
  await check(tab, () => tab.page.getByText(say('shell.missing_title')).waitFor());
});

test('a chat with everything that Markdown has', async () => {
  const user = await world.user();
  const conversation = await user.ask('rich');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.page.locator('article .katex').first().waitFor();
  await tab.page.locator('article iframe').waitFor();
  await check(tab, () => tab.composer.waitFor());
});

test('answers whose headings begin deep and leave levels out', async () => {
  const user = await world.user();
  const conversation = await user.ask('say\n## one\n\n##### two\n\n> # three\n\n- #### four\n');
  await user.ask('say\n#### five\n\n## six\n', { conversation_id: conversation });
  const tab = await world.tab(`/c/${conversation}`, { user });
  await check(tab, () => tab.page.getByRole('heading', { name: 'six', level: 3 }).waitFor());
});

test('answers that ended badly', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 20 cut 5');
  await user.ask('error 401', { conversation_id: conversation });
  await user.ask('words 20 length 5', { conversation_id: conversation });
  const tab = await world.tab(`/c/${conversation}`, { user });
  await check(tab, () => tab.button('chat.continue').waitFor());
});

test('an answer that is being written', async () => {
  const user = await world.user();
  const conversation = await user.askAndLeave('words 20 hold 10 axe');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await check(tab, () => tab.button('composer.stop').waitFor());
  world.upstream.open('axe');
});

test('the history, its menus and a name being changed', async () => {
  const user = await world.user();
  for (const title of ['one', 'two']) await user.request('POST', '/conversations', { title });
  const tab = await world.tab('/', { user });
  const account = tab.page.getByRole('button', { name: say('shell.account_of', { name: user.username }) });
  const open = async () => {
    await tab.page.reload();
    await tab.composer.waitFor();
    await openSidebar(tab);
    await tab.chatLink('one').waitFor();
  };
  await check(tab, open);
  await check(tab, async () => {
    await open();
    await account.click();
    await tab.page.getByRole('menuitem', { name: say('shell.sign_out') }).waitFor();
  });
  await check(tab, async () => {
    await open();
    await tab.chatMenu('one', say('sidebar.rename'));
    await tab.page.getByRole('textbox', { name: say('sidebar.rename_label', { title: 'one' }) }).waitFor();
  });
});

test('dialogs and messages', async () => {
  const user = await world.user();
  await user.request('POST', '/conversations', { title: 'one' });
  const tab = await world.tab('/', { user });
  await tab.composer.waitFor();
  await check(tab, async () => {
    const dialog = tab.page.getByRole('dialog', { name: say('shell.shortcuts') });
    if (!(await dialog.isVisible())) await tab.page.keyboard.press('Control+/');
    await dialog.waitFor();
  });
  await tab.page.reload();
  await tab.page.context().clearCookies();
  await tab.send('words 3');
  await check(tab, () => tab.page.getByRole('dialog', { name: say('auth.expired_title') }).waitFor());
});

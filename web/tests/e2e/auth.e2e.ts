import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { Api, PASSWORD } from './support/api';
import { say, saying } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld({
  LIMITS__ENABLED: 'true',
  LIMITS__REQUESTS_PER_MINUTE: '6000',
  LIMITS__FAILED_SIGN_INS_PER_NAME: '3',
});

const field = (tab: Tab, label: string) => tab.page.getByLabel(label, { exact: true });
const press = (tab: Tab, name: string) => tab.page.getByRole('button', { name, exact: true }).click();

/** Fills the form for an account and sends it. */
async function register(tab: Tab, username: string, more: { password?: string; email?: string } = {}) {
  await field(tab, say('auth.username')).fill(username);
  await field(tab, say('auth.email')).fill(more.email ?? `${username}@example.com`);
  await field(tab, say('auth.password')).fill(more.password ?? PASSWORD);
  await press(tab, say('auth.create_account'));
}

async function signIn(tab: Tab, username: string, password: string) {
  await field(tab, say('auth.username_or_email')).fill(username);
  await field(tab, say('auth.password')).fill(password);
  await press(tab, say('auth.sign_in'));
}

/** What is written beside a field: its accessible description. */
async function besideField(tab: Tab, label: string): Promise<string> {
  return field(tab, label).evaluate((input) => {
    const ids = input.getAttribute('aria-describedby')?.split(' ') ?? [];
    return ids.map((id) => document.getElementById(id)?.textContent ?? '').join(' ');
  });
}

const newName = () => `user-${randomUUID().slice(0, 8)}`;

test('the setup code makes an administrator', async () => {
  const tab = await world.tab('/register');
  const username = newName();
  await tab.page.getByText(say('auth.setup'), { exact: true }).click();
  await field(tab, say('auth.setup_code')).fill('AAAAA-AAAAA-AAAAA-AAAAA');
  await register(tab, username);
  await expect.poll(() => field(tab, say('auth.setup_code')).getAttribute('aria-invalid')).toBe('true');
  await field(tab, say('auth.setup_code')).fill(await world.server.setupCode());
  await press(tab, say('auth.create_account'));
  await tab.composer.waitFor();
  const api = await Api.signIn(world.server, username, PASSWORD);
  expect(await api.get('/auth/me')).toMatchObject({ username, is_admin: true });
});

test('a person registers, comes back, signs out and in again', async () => {
  const username = newName();
  const tab = await world.tab('/');
  await tab.page.getByRole('link', { name: say('auth.create_account') }).click();
  await register(tab, username);
  await tab.composer.waitFor();
  const account = tab.page.getByRole('button', { name: say('shell.account_of', { name: username }) });
  await account.waitFor();
  await tab.page.reload();
  await account.click();
  await tab.page.getByRole('menuitem', { name: say('shell.sign_out') }).click();
  await field(tab, say('auth.username_or_email')).waitFor();
  await tab.page.reload();
  await signIn(tab, `${username}@example.com`, PASSWORD);
  await tab.composer.waitFor();
});

test('another program’s cookies, and a stale one of this page’s name, lock nobody out', async () => {
  const username = `Nguye\u0302\u0303n-${newName()}`;
  const tab = await world.tab('/register');
  await register(tab, username, { password: 'pa\u0308sswo\u0308rter', email: `${newName()}@exämple.com` });
  await tab.composer.waitFor();
  const context = tab.page.context();
  const own = (await context.cookies()).find(({ httpOnly }) => httpOnly);
  if (!own) throw new Error('the page has no cookie');
  // The narrower path comes first in a request. The tab writes them itself, so that they are bytes as it has them.
  const others = ['city=München', '=nameless', 'json={"a":"b, c"}', 'quoted="a b', 'plain'];
  for (const pair of [...others, `${own.name}=${'x'.repeat(43)}`]) {
    await tab.page.evaluate(`document.cookie = ${JSON.stringify(`${pair}; path=/api`)}`);
  }
  const sent = (await context.cookies(`${tab.origin}/api/v1/auth/me`)).filter(
    ({ name }) => name === own.name,
  );
  expect(sent.map(({ path }) => path).toSorted()).toEqual(['/', '/api']);
  await tab.page.reload();
  await tab.composer.waitFor();
  await tab.send('words 3');
  await tab.answerToBe((text) => text !== '', 'an answer');
  const name = username.normalize('NFKC');
  await tab.page.getByRole('button', { name: say('shell.account_of', { name }) }).click();
  await tab.page.getByRole('menuitem', { name: say('shell.sign_out') }).click();
  await field(tab, say('auth.username_or_email')).waitFor();
  await tab.page.reload();
  // Another keyboard's spelling of both.
  await signIn(tab, name.toUpperCase(), 'pässwörter');
  await tab.composer.waitFor();
});

test('what is wrong is said beside its field, and the field is focused', async () => {
  const taken = await world.user();
  const tab = await world.tab('/register');
  await press(tab, say('auth.create_account'));
  for (const label of [say('auth.username'), say('auth.email'), say('auth.password')]) {
    await expect.poll(() => field(tab, label).getAttribute('aria-invalid'), { message: label }).toBe('true');
    expect(await besideField(tab, label), label).not.toBe('');
  }
  expect(await field(tab, say('auth.username')).evaluate((input) => input === document.activeElement)).toBe(
    true,
  );

  await register(tab, taken.username, { email: `${newName()}@example.com` });
  await expect.poll(() => field(tab, say('auth.username')).getAttribute('aria-invalid')).toBe('true');
  expect(await besideField(tab, say('auth.username'))).not.toBe('');
  expect(await field(tab, say('auth.email')).getAttribute('aria-invalid')).toBeNull();

  await register(tab, newName(), { password: 'short' });
  await expect.poll(() => field(tab, say('auth.password')).getAttribute('aria-invalid')).toBe('true');
  expect(await field(tab, say('auth.username')).inputValue(), 'nothing typed is lost').not.toBe('');
});

test('a wrong password is refused; too many tries have to wait', async () => {
  const { username } = await world.user();
  const tab = await world.tab('/login');
  await signIn(tab, username, 'wrong');
  await expect.poll(() => tab.page.getByRole('alert').textContent()).toContain(say('error.bad_credentials'));
  for (let tries = 0; tries < 3; tries += 1) await signInFails(tab, username);
  const wait = tab.page.getByRole('button', { name: saying('auth.retry_in.other') });
  await wait.waitFor();
  expect(await wait.isDisabled()).toBe(true);
});

/** One more failed try, unless the button already says to wait. */
async function signInFails(tab: Tab, username: string) {
  const button = tab.page.getByRole('button', { name: say('auth.sign_in'), exact: true });
  if ((await button.count()) === 0) return;
  const answered = tab.page.waitForResponse((response) => response.url().endsWith('/auth/login'));
  await signIn(tab, username, 'wrong');
  await (await answered).finished();
}

test('a link to a chat leads there after sign-in', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 5');
  const tab = await world.tab(`/c/${conversation}`);
  await field(tab, say('auth.username_or_email')).waitFor();
  await signIn(tab, user.username, PASSWORD);
  await tab.expectWords(user, 5);
  expect(tab.conversationId).toBe(conversation);
});

/** Signs in again over the page. */
async function signInAgain(tab: Tab) {
  const dialog = tab.page.getByRole('dialog', { name: say('auth.expired_title') });
  await dialog.waitFor();
  await dialog.getByLabel(say('auth.password'), { exact: true }).fill(PASSWORD);
  await dialog.getByRole('button', { name: say('auth.sign_in'), exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
}

test('a session that ends in mid-chat: the question is asked after the next sign-in, once', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 5');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.expectWords(user, 5);
  await tab.page.context().clearCookies();
  await tab.send('words 7');
  await signInAgain(tab);
  expect(tab.conversationId).toBe(conversation);
  await tab.expectWords(user, 7);
  const questions = (await user.messages(conversation)).filter((message) => message.role === 'user');
  expect(questions.map((message) => message.content)).toEqual(['words 5', 'words 7']);
});

test('a session that ends in mid-chat keeps the place and the draft', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 5');
  const tab = await world.tab(`/c/${conversation}`, { user });
  await tab.expectWords(user, 5);
  await tab.composer.fill('not sent yet');
  await tab.page.context().clearCookies();
  await tab.button('chat.retry').click();
  await signInAgain(tab);
  expect(tab.conversationId).toBe(conversation);
  expect(await tab.composer.inputValue()).toBe('not sent yet');
});

test('signed out from elsewhere while an answer streams: the page says so by itself', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('words 60 every 10 hold 30 elsewhere');
  await expect.poll(() => tab.answer(), { timeout: 15_000 }).toContain('w30');
  const cookies = await tab.page.context().cookies();
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  const headers = { cookie, origin: tab.origin };
  const signedOut = await fetch(`${tab.origin}/api/v1/auth/logout`, { method: 'POST', headers });
  expect(signedOut.status).toBe(204);
  await signInAgain(tab);
  // The answer was the server's all the time.
  world.upstream.open('elsewhere');
  await tab.expectWords(user, 60);
});

test('signing out in one tab signs the others out', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.composer.waitFor();
  const other = await world.sibling(tab, '/');
  await other.composer.waitFor();
  await tab.page.getByRole('button', { name: say('shell.account_of', { name: user.username }) }).click();
  await tab.page.getByRole('menuitem', { name: say('shell.sign_out') }).click();
  await field(tab, say('auth.username_or_email')).waitFor();
  await other.composer.waitFor({ state: 'hidden' });
});

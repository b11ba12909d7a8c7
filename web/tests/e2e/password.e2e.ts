import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { Api, PASSWORD } from './support/api';
import { say } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld({ LIMITS__ENABLED: 'true', LIMITS__FAILED_SIGN_INS_PER_NAME: '3' });

const NEXT = 'another-stone-8';
const field = (tab: Tab, label: string) => tab.page.getByLabel(label, { exact: true });

async function signedIn(): Promise<{ tab: Tab; username: string }> {
  const username = `user-${randomUUID().slice(0, 8)}`;
  const tab = await world.tab('/register');
  await field(tab, say('auth.username')).fill(username);
  await field(tab, say('auth.email')).fill(`${username}@example.com`);
  await field(tab, say('auth.password')).fill(PASSWORD);
  await tab.page.getByRole('button', { name: say('auth.create_account'), exact: true }).click();
  await tab.composer.waitFor();
  return { tab, username };
}

async function openDialog(tab: Tab, username: string): Promise<void> {
  await tab.page.getByRole('button', { name: say('shell.account_of', { name: username }) }).click();
  await tab.page.getByRole('menuitem', { name: say('shell.password') }).click();
  await tab.page.getByRole('dialog', { name: say('shell.password') }).waitFor();
}

async function change(tab: Tab, present: string, next: string): Promise<void> {
  await field(tab, say('password.current')).fill(present);
  await field(tab, say('password.new')).fill(next);
  await tab.page.getByRole('button', { name: say('shell.password'), exact: true }).click();
}

test('a person changes the password, and stays signed in here alone', async () => {
  const { tab, username } = await signedIn();
  const elsewhere = await Api.signIn(world.server, username, PASSWORD);
  await openDialog(tab, username);
  await change(tab, 'not-this-one-8', NEXT);
  await expect.poll(() => field(tab, say('password.current')).getAttribute('aria-invalid')).toBe('true');
  await tab.page.getByText(say('password.wrong'), { exact: true }).waitFor();
  expect(
    await field(tab, say('password.current')).evaluate((input) => input === document.activeElement),
  ).toBe(true);

  await change(tab, PASSWORD, NEXT);
  await tab.page.getByText(say('password.changed'), { exact: true }).waitFor();
  await tab.page.getByRole('dialog').waitFor({ state: 'hidden' });
  await tab.page.reload();
  await tab.composer.waitFor();
  await expect(elsewhere.get('/auth/me')).rejects.toThrow('401');
  await expect(Api.signIn(world.server, username, PASSWORD)).rejects.toThrow('401');
  const again = await Api.signIn(world.server, username, NEXT);
  expect(await again.get('/auth/me')).toMatchObject({ username });
});

test('guesses are slowed down here as at the sign-in', async () => {
  const { tab, username } = await signedIn();
  await openDialog(tab, username);
  for (let guess = 0; guess < 3; guess += 1) {
    const refused = tab.page.waitForResponse((response) => response.url().endsWith('/me/password'));
    await change(tab, `not-this-one-${guess}`, NEXT);
    expect((await refused).status()).toBe(422);
    await expect.poll(() => field(tab, say('password.current')).getAttribute('aria-invalid')).toBe('true');
  }
  await change(tab, 'not-this-one-4', NEXT);
  await tab.page.getByRole('alert').waitFor();
  await expect.poll(() => tab.page.locator('dialog button[type="submit"]').isDisabled()).toBe(true);
});

test('what was typed is gone with the dialog', async () => {
  const { tab, username } = await signedIn();
  await openDialog(tab, username);
  await field(tab, say('password.current')).fill(PASSWORD);
  await tab.page.keyboard.press('Escape');
  await tab.page.getByRole('dialog').waitFor({ state: 'hidden' });
  await openDialog(tab, username);
  expect(await field(tab, say('password.current')).inputValue()).toBe('');
});

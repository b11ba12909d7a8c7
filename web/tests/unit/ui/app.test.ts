import { beforeEach, expect, it, vi } from 'vitest';
import App from '$/App.svelte';
import * as client from '$/api/client';
import { NetworkError } from '$/api/errors';
import { navigate } from '$/lib/router.svelte';
import { auth } from '$/state/auth.svelte';
import { button, find, provideMedia, provideTopLayer, show } from './support';

vi.mock('$/features/shell/Shell.svelte', () => import('./ShellStub.svelte'));
vi.mock(import('$/api/client'), async (original) => ({
  ...(await original()),
  signedInUser: vi.fn(),
  login: vi.fn(),
  listConversations: vi.fn(async () => ({ conversations: [], next_cursor: null })),
}));

const user = { id: 'u', username: 'mara_lind', email: 'mara@example.com', is_admin: false, created_at: '' };
const path = () => location.pathname + location.search;
const seen = (text: string) => vi.waitFor(() => expect(document.body.textContent).toContain(text), 5000);

/** Starts the page at a path, and lets it learn who is signed in. */
async function start(at: string): Promise<void> {
  navigate(at);
  show(App, {});
  // Of two imports at once of one module the test runner mocks only the first.
  await vi.dynamicImportSettled();
  await auth.check();
}

beforeEach(() => {
  provideMedia();
  provideTopLayer();
  auth.status = 'unknown';
  auth.expired = false;
  auth.user = null;
});

it('shows the page to whoever is signed in, and keeps nobody at the sign-in form', async () => {
  vi.mocked(client.signedInUser).mockResolvedValue(user);
  await start('/login?return=%2Fc%2Fabc');
  await seen('the page of abc');
  expect(path()).toBe('/c/abc');
});

it('leads whoever is not signed in to the form, and back again', async () => {
  vi.mocked(client.signedInUser).mockResolvedValue(null);
  await start('/c/abc');
  await vi.waitFor(() => expect(path()).toBe('/login?return=%2Fc%2Fabc'));
  await vi.waitFor(() => find('input[name="password"]'), 5000);
  expect(document.title).toBe('Sign in · GPT.R1');
  vi.mocked(client.login).mockResolvedValue({ user } as Awaited<ReturnType<typeof client.login>>);
  await auth.login({ username: 'mara_lind', password: 'river-stone-8' });
  await seen('the page of abc');
  expect(path()).toBe('/c/abc');
});

it('asks to sign in over the page when the session has run out', async () => {
  vi.mocked(client.signedInUser).mockResolvedValue(user);
  await start('/c/abc');
  await seen('the page of abc');
  auth.status = 'out';
  auth.expired = true;
  await vi.waitFor(() => expect(find<HTMLDialogElement>('dialog').open).toBe(true), 5000);
  expect(document.body.textContent).toContain('the page of abc');
  expect(path()).toBe('/c/abc');
  expect(find<HTMLInputElement>('dialog input[name="username"]').value).toBe('mara_lind');
});

it('says that the server is out of reach, and goes on when it is back', async () => {
  vi.mocked(client.signedInUser).mockRejectedValue(new NetworkError('no answer'));
  await start('/');
  await seen('out of reach');
  vi.mocked(client.signedInUser).mockResolvedValue(user);
  button('Try now').click();
  await seen('the page of a new chat');
});

it('says so where there is nothing', async () => {
  vi.mocked(client.signedInUser).mockResolvedValue(user);
  await start('/nowhere');
  await seen('There is nothing here');
});

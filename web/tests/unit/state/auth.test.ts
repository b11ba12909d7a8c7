import { describe, expect, test, vi } from 'vitest';
import { NetworkError } from '$/api/errors';
import { auth } from '$/state/auth.svelte';
import { conversations } from '$/state/conversations.svelte';
import { draftOf, keepDraft } from '$/state/drafts';
import { threads } from '$/state/threads.svelte';
import { FakeChannel, server, sessionEnds } from './fake';
import { freshPage, opened, problem, settle, texts, toastTexts } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const form = { username: 'ada', password: 'correct horse' };
const signedIn = () => auth.login(form);

async function someChat(): Promise<void> {
  server.conversation('c1');
  server.message('c1', 'q1');
  server.message('c1', 'a1');
  await conversations.refresh();
}

describe('who is signed in', () => {
  test('is asked of the server', async () => {
    await auth.logout();
    await auth.check();
    expect([auth.status, auth.user?.username, auth.expired]).toEqual(['in', 'ada', false]);
  });

  test('nobody, or nobody knows', async () => {
    await auth.logout();
    server.signedIn = false;
    await auth.check();
    expect([auth.status, auth.expired]).toEqual(['out', false]);
    server.signedIn = true;
    server.fail('signedInUser', new NetworkError('no answer'));
    await auth.check();
    expect(auth.status).toBe('unreachable');
    window.dispatchEvent(new Event('online'));
    await settle();
    expect(auth.status).toBe('in');
  });

  test('that nobody is any more ends the session of a page that is open', async () => {
    await signedIn();
    server.signedIn = false;
    await auth.check();
    expect([auth.status, auth.expired, auth.user?.username]).toEqual(['out', true, 'ada']);
    server.signedIn = true;
    await signedIn();
    expect([auth.status, auth.expired]).toEqual(['in', false]);
  });

  test('a wrong password is the form’s to tell', async () => {
    await auth.logout();
    const wrong = problem(401, 'wrong_password');
    server.fail('login', wrong);
    await expect(signedIn()).rejects.toBe(wrong);
    expect(auth.status).toBe('out');
  });

  test('a new account is signed in with', async () => {
    await auth.logout();
    server.calls = [];
    await auth.register({ ...form, email: 'ada@example.com' });
    expect(server.calls).toEqual(['register', 'login']);
    expect(auth.status).toBe('in');
  });
});

describe('a session that runs out', () => {
  test('keeps everything, and goes on with the same user', async () => {
    await signedIn();
    await someChat();
    const thread = await opened('c1');
    keepDraft('c1', 'half');
    sessionEnds();
    expect([auth.status, auth.expired]).toEqual(['out', true]);
    expect([texts(thread).length, conversations.items.length, draftOf('c1')]).toEqual([2, 1, 'half']);
    server.message('c1', 'q2');
    await signedIn();
    await settle();
    expect([auth.status, auth.expired, draftOf('c1')]).toEqual(['in', false, 'half']);
    expect(threads.open('c1')).toBe(thread);
    expect(texts(thread)).toHaveLength(3);
  });

  test('leaves nothing for another user', async () => {
    await signedIn();
    await someChat();
    const thread = await opened('c1');
    keepDraft('c1', 'secret');
    sessionEnds();
    server.user = { ...server.user, id: 'u2', username: 'bob' };
    await signedIn();
    expect([auth.user?.username, conversations.items.length, draftOf('c1')]).toEqual(['bob', 0, '']);
    expect(threads.open('c1')).not.toBe(thread);
    server.user = { ...server.user, id: 'u1', username: 'ada' };
  });

  test('before anybody was signed in has not run out', async () => {
    await auth.logout();
    sessionEnds();
    expect([auth.status, auth.expired]).toEqual(['out', false]);
  });
});

describe('signing out', () => {
  test('carries out what was promised, then forgets', async () => {
    await signedIn();
    await someChat();
    conversations.remove('c1');
    server.calls = [];
    await auth.logout();
    expect(server.calls).toEqual(['deleteConversation c1', 'logout']);
    expect([auth.status, auth.user, conversations.status]).toEqual(['out', null, 'idle']);
  });

  test('that the server hears nothing of is not one', async () => {
    await signedIn();
    await someChat();
    server.fail('logout', new NetworkError('no answer'));
    await auth.logout();
    expect([auth.status, conversations.items.length, toastTexts().length]).toEqual(['in', 1, 1]);
  });

  test('in one tab is signing out in all', async () => {
    await signedIn();
    await someChat();
    const other = new FakeChannel('gpt-r1');
    other.postMessage({ type: 'logout' });
    expect([auth.status, auth.expired, conversations.items.length]).toEqual(['out', false, 0]);
    other.postMessage({ type: 'login', userId: 'u1' });
    await settle();
    expect(auth.status).toBe('in');
  });
});

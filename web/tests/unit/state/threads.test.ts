import { flushSync, mount, unmount } from 'svelte';
import { describe, expect, test, vi } from 'vitest';
import { conversations } from '$/state/conversations.svelte';
import { threads } from '$/state/threads.svelte';
import { at, FakeChannel, server } from './fake';
import { freshPage, ids, opened, problem, see, settle, texts } from './support';
import Watcher from './Watcher.svelte';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

function chat(id: string): void {
  server.conversation(id);
  server.message(id, `q${id}`);
  server.message(id, `a${id}`);
}

function run(id: string, text = ''): void {
  server.message(id, `q2${id}`);
  const answer = { status: 'running', content: text, generation_id: `g2${id}`, last_event_id: `g2${id}:1.2` };
  server.message(id, `a2${id}`, answer);
  Object.assign(server.row(id), { generation_id: `g2${id}`, updated_at: at(29) });
}

describe('the chats that are kept', () => {
  test('one that is gone back to is there at once, and brought up to date', async () => {
    chat('x');
    chat('y');
    const first = await opened('x');
    await opened('y');
    server.message('x', 'q9');
    const again = threads.open('x');
    expect(again).toBe(first);
    expect([again.status, ids(again)]).toEqual(['ready', ['qx', 'ax']]);
    await settle();
    expect(ids(again)).toEqual(['qx', 'ax', 'q9']);
  });

  test('are five', async () => {
    for (const id of ['1', '2', '3', '4', '5', '6']) chat(id);
    const first = await opened('1');
    const second = await opened('2');
    for (const id of ['3', '4', '5', '6']) await opened(id);
    expect(threads.open('2')).toBe(second);
    expect(threads.open('1')).not.toBe(first);
  });

  test('one that holds a question nobody else has is not given up', async () => {
    chat('1');
    const first = await opened('1');
    void first.send('Precious');
    const { stream } = server;
    for (const id of ['2', '3', '4', '5', '6', '7']) {
      chat(id);
      await opened(id);
    }
    stream.sink.refused(problem(503, 'odd'));
    expect(threads.open('1').refusal?.text).toBe('Precious');
  });

  test('one that isn’t shown lets go of its connection, and takes it up where its text ends', async () => {
    chat('x');
    run('x', 'One');
    chat('y');
    const thread = await opened('x');
    server.stream.sink.appended('text', ' two');
    await opened('y');
    expect([server.streams.length, server.stream.detached]).toEqual([1, true]);
    server.stream.sink.appended('text', ' late');
    expect(texts(thread).at(-1)).toBe('One two');
    Object.assign(server.messages.get('x')?.at(-1) ?? {}, {
      content: 'One two three',
      last_event_id: 'g2x:1.5',
    });
    await opened('x');
    expect(texts(thread).at(-1)).toBe('One two three');
    expect(server.stream.source).toEqual({ kind: 'attach', generationId: 'g2x', after: 'g2x:1.5' });
  });

  test('closed and opened in one turn, nothing happens to it', async () => {
    chat('x');
    run('x');
    const thread = await opened('x');
    threads.close(thread);
    expect(threads.open('x')).toBe(thread);
    await settle();
    expect([server.streams.length, server.stream.detached]).toEqual([1, false]);
    threads.close(thread);
    await settle();
    expect(server.stream.detached).toBe(true);
  });

  test('one that was opened by a component goes on after the component has gone', async () => {
    chat('x');
    const shown = mount(Watcher, { target: document.body, props: { id: 'x' } });
    await settle();
    flushSync();
    expect(document.body.textContent).toContain('qx,ax');
    await unmount(shown);
    const thread = await opened('x');
    void thread.send('More?');
    expect(texts(thread)).toHaveLength(4);
    expect(thread.running).not.toBeNull();
    const again = mount(Watcher, { target: document.body, props: { id: 'x' } });
    flushSync();
    expect(document.body.textContent).toContain('qx,ax,new-');
    await unmount(again);
  });
});

describe('changes from elsewhere', () => {
  test('are looked for when the page is looked at, and cost one request where there are none', async () => {
    chat('x');
    const thread = await opened('x');
    server.calls = [];
    window.dispatchEvent(new Event('focus'));
    see(true);
    await settle();
    expect(server.count('getConversation x')).toBe(1);
    expect(server.count('listMessages x')).toBe(0);
    run('x', 'From the phone');
    window.dispatchEvent(new Event('focus'));
    await settle();
    expect(texts(thread).at(-1)).toBe('From the phone');
    expect(server.stream.source).toMatchObject({ kind: 'attach', after: 'g2x:1.2' });
  });

  test('are not looked for while nobody looks, or while a stream tells of them', async () => {
    chat('x');
    await opened('x');
    see(false);
    server.calls = [];
    new FakeChannel('gpt-r1').postMessage({ type: 'conversation', id: 'x', change: 'asked' });
    await settle();
    expect(server.count('getConversation x')).toBe(0);
    run('x');
    see(true);
    await settle();
    expect(server.stream.source).toMatchObject({ kind: 'attach' });
    server.calls = [];
    window.dispatchEvent(new Event('focus'));
    await settle();
    expect(server.count('getConversation x')).toBe(0);
  });

  test('a chat that another tab deleted is missing', async () => {
    chat('x');
    const thread = await opened('x');
    server.rows.delete('x');
    server.fail('getConversation', problem(404, 'not_found'));
    new FakeChannel('gpt-r1').postMessage({ type: 'conversation', id: 'x', change: 'deleted' });
    await settle();
    expect(thread.status).toBe('missing');
  });

  test('a question of one tab appears and streams in the other', async () => {
    chat('x');
    const mine = await opened('x');
    vi.resetModules();
    const other = await import('$/state/threads.svelte');
    const theirs = other.threads.open('x');
    await settle();
    expect(other.threads).not.toBe(threads);
    void theirs.send('From the other tab');
    const asking = server.stream;
    run('x');
    asking.start('x', 'a2x', 'g2x');
    await settle();
    const following = server.stream;
    expect(following.source).toMatchObject({ kind: 'attach', generationId: 'g2x' });
    for (const stream of [asking, following]) stream.sink.appended('text', 'Both see this');
    expect(texts(mine).at(-1)).toBe('Both see this');
    expect(texts(theirs).at(-1)).toBe('Both see this');
    server.row('x').generation_id = null;
    for (const stream of [asking, following]) stream.end();
    await settle();
    expect(conversations.find('x')?.generationId).toBeNull();
    expect(server.streams).toHaveLength(2);
    other.threads.reset();
  });

  test('after a new sign-in a stream goes on where it was, and a shown chat is read again', async () => {
    chat('x');
    const thread = await opened('x');
    server.calls = [];
    threads.resume();
    await settle();
    expect(server.count('listMessages x')).toBe(1);
    void thread.send('Asked without a session');
    expect(server.stream.opened).toBe(1);
    threads.resume();
    expect([server.stream.opened, server.streams.length]).toEqual([2, 1]);
  });
});

import { mount, unmount } from 'svelte';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { memoryFrom } from '$/state/memory.svelte';
import { models } from '$/state/models.svelte';
import type { Thread } from '$/state/thread.svelte';
import { server } from './fake';
import MemoryOf from './MemoryOf.svelte';
import { accepted, chat, freshPage, opened, problem, settle, toastTexts } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

describe('the model', () => {
  const asked = () => {
    const { source } = server.stream;
    return source.kind === 'send' ? source.body.model : null;
  };

  test('of a chat is the one that answered last, whatever is remembered for new ones', async () => {
    models.select('cloud/big');
    chat();
    server.message('c1', 'q2');
    server.message('c1', 'a2', { model: 'gone/away' });
    const thread = await opened('c1');
    expect(thread.model).toBe('gone/away');
    void thread.send('More?');
    expect(asked(), 'listed or not: the server says what is wrong with it').toBe('gone/away');
    expect((await opened(null)).model).toBe('cloud/big');
  });

  test('chosen here is asked here and in new chats, and from then on the chat’s own', async () => {
    chat();
    const thread = await opened('c1');
    expect(thread.model).toBe('local/small');
    thread.pick('cloud/big');
    expect([thread.model, models.selected]).toEqual(['cloud/big', 'cloud/big']);
    void thread.send('More?');
    expect(asked()).toBe('cloud/big');
    server.stream.sink.refused(problem(422, 'unknown_model'));
    expect(thread.model, 'a refused question changes nothing').toBe('cloud/big');
    void thread.send('More?');
    accepted('c1', 'q2', 'a2', 'g2', 'More?');
    server.stream.sink.started({
      generationId: 'g2',
      conversationId: 'c1',
      messageId: 'a2',
      model: 'cloud/big',
    });
    server.stream.end();
    expect(thread.model).toBe('cloud/big');
    // Another device goes on with another model.
    server.message('c1', 'q3', { parent_id: 'a2' });
    server.message('c1', 'a3', { model: 'other/one' });
    await thread.reload();
    expect(thread.model).toBe('other/one');
  });

  test('follows the branch that is shown', async () => {
    chat();
    server.message('c1', 'a1b', { parent_id: 'q1c1', model: 'cloud/big' });
    const thread = await opened('c1');
    expect(thread.model).toBe('cloud/big');
    const [, answer] = thread.path;
    const [first] = answer ? thread.versions(answer) : [];
    if (first) thread.choose(first);
    await vi.dynamicImportSettled();
    await settle();
    expect(thread.model).toBe('local/small');
  });
});

describe('the model’s memory', () => {
  const shown: Record<string, unknown>[] = [];
  const look = (thread: Thread) => shown.push(mount(MemoryOf, { target: document.body, props: { thread } }));
  afterEach(() => Promise.all(shown.splice(0).map((one) => unmount(one))));

  test('is marked as the list tells, and where an answer ends here as the server does when asked', async () => {
    chat();
    server.message('c1', 'q2');
    server.message('c1', 'a2', { remembers_from: 'q2' });
    const thread = await opened('c1');
    expect(memoryFrom(thread.path)?.id).toBe('q2');
    look(thread);
    void thread.send('More?');
    accepted('c1', 'q3', 'a3', 'g3', 'More?');
    server.stream.start('c1', 'a3', 'g3');
    await settle();
    expect(memoryFrom(thread.path)?.id, 'what was known stands until more is').toBe('q2');
    server.remembersFrom = 'a2';
    server.stream.end();
    await settle();
    expect([memoryFrom(thread.path)?.id, server.count('getGeneration g3')]).toEqual(['a2', 1]);
  });

  test('is not asked for where there is nothing to forget, and no trouble where it can’t be known', async () => {
    const thread = await opened(null);
    look(thread);
    void thread.send('First');
    server.conversation('c9');
    accepted('c9', 'q1', 'a1', 'g1', 'First');
    server.stream.start('c9', 'a1', 'g1');
    await settle();
    server.stream.end();
    await settle();
    expect(server.count('getGeneration g1')).toBe(0);
    chat();
    const other = await opened('c1');
    look(other);
    void other.send('Second');
    accepted('c1', 'q2', 'a2', 'g2', 'Second');
    server.stream.start('c1', 'a2', 'g2');
    await settle();
    server.fail('getGeneration', problem(500, 'odd'));
    server.stream.end();
    await settle();
    expect([memoryFrom(other.path), server.count('getGeneration g2'), toastTexts()]).toEqual([null, 1, []]);
  });
});

import { describe, expect, test, vi } from 'vitest';
import type { Message } from '$/api/client';
import { ReasoningView } from '$/state/part.svelte';
import type { Thread } from '$/state/thread.svelte';
import { threads } from '$/state/threads.svelte';
import { server } from './fake';
import { accepted, chat, freshPage, opened, runningChat, settle, texts } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

const thought = (content: string, more = {}) => ({ type: 'reasoning' as const, content, ...more });
const said = (content: string) => ({ type: 'text' as const, content });

/** What the newest message of a chat holds. */
const held = (thread: Thread) => thread.path.at(-1)?.parts.map(({ kind, text }) => `${kind}:${text}`);

/** The newest row of the chat, as the server has it from now on. */
function store(change: Partial<Message> & { parts?: object[] }): void {
  Object.assign(server.messages.get('c1')?.at(-1) ?? {}, change);
}

/** A chat whose second answer is being thought about. */
function thinkingChat(): void {
  runningChat('');
  store({ parts: [thought('Let me')] });
}

/** Asks, and has the answer begin. */
async function asking(): Promise<Thread> {
  chat();
  const thread = await opened('c1');
  void thread.send('More?');
  accepted('c1', 'q2', 'a2', 'g2', 'More?');
  server.stream.start('c1', 'a2', 'g2');
  return thread;
}

describe('an answer that is being thought about', () => {
  test('goes on after a reload from exactly the thoughts that were read', async () => {
    thinkingChat();
    const thread = await opened('c1');
    expect(server.stream.source).toEqual({ kind: 'attach', generationId: 'g2', after: 'g2:1.3' });
    server.stream.sink.appended('reasoning', ' see');
    server.stream.sink.appended('text', 'Yes');
    expect(held(thread)).toEqual(['reasoning:Let me see', 'text:Yes']);
  });

  test('is read from the beginning where the row says something else than is shown', async () => {
    thinkingChat();
    const thread = await opened('c1');
    const arrive = server.hold('listMessages');
    const read = thread.reload();
    await settle();
    server.stream.sink.appended('reasoning', ' see');
    server.stream.sink.lost();
    arrive();
    await read;
    expect(server.stream.source).toMatchObject({ kind: 'attach', after: null });
    server.stream.start('c1', 'a2', 'g2');
    server.stream.sink.appended('reasoning', 'Let me see now');
    expect(held(thread)).toEqual(['reasoning:Let me see now', 'text:']);
  });

  test('can be stopped, and has then only thoughts: there is nothing to continue', async () => {
    const thread = await asking();
    server.stream.sink.appended('reasoning', 'Hm');
    await thread.stop();
    expect(server.count('stopGeneration g2')).toBe(1);
    server.stream.end('stopped', null);
    const answer = thread.path.at(-1);
    if (!answer) throw new Error('no answer');
    expect([answer.status, held(thread)]).toEqual(['stopped', ['reasoning:Hm', 'text:']]);
    expect([thread.canContinue(answer), thread.canRetry(answer)]).toEqual([false, true]);
  });

  test('that fails keeps its thoughts, and a retry has its own', async () => {
    const thread = await asking();
    server.stream.sink.appended('reasoning', 'Hm');
    const error = { code: 'provider_failed', message: 'It failed.', retryable: true };
    server.stream.sink.ended({ status: 'failed', finishReason: null, error });
    const failed = thread.path.at(-1);
    if (!failed) throw new Error('no answer');
    expect([thread.canContinue(failed), held(thread)]).toEqual([false, ['reasoning:Hm', 'text:']]);
    thread.retry(failed);
    server.stream.start('c1', 'a3', 'g3');
    server.stream.sink.appended('reasoning', 'Once more');
    server.stream.sink.appended('text', 'Yes');
    server.stream.end();
    expect(held(thread)).toEqual(['reasoning:Once more', 'text:Yes']);
    expect(failed.parts[0]?.text).toBe('Hm');
  });

  test('whose model is asked again loses what was void', async () => {
    const thread = await asking();
    server.stream.sink.appended('reasoning', 'void');
    server.stream.sink.discarded();
    expect(held(thread)).toEqual(['text:']);
    server.stream.sink.appended('reasoning', 'kept');
    server.stream.sink.appended('text', 'Yes');
    expect(held(thread)).toEqual(['reasoning:kept', 'text:Yes']);
  });

  test('is left and come back to: its thoughts are what the server has then', async () => {
    thinkingChat();
    const thread = await opened('c1');
    await opened(null);
    store({ content: 'Yes', parts: [thought('Let me see'), said('Yes')], last_event_id: 'g2:1.9' });
    expect(threads.open('c1')).toBe(thread);
    await settle();
    expect(held(thread)).toEqual(['reasoning:Let me see', 'text:Yes']);
    expect(server.stream.source).toMatchObject({ kind: 'attach', after: 'g2:1.9' });
  });
});

describe('an answer after thoughts', () => {
  test('is continued with its thoughts in their place', async () => {
    chat();
    store({ content: 'Half', status: 'stopped', parts: [thought('Hm'), said('Half')] });
    const thread = await opened('c1');
    const answer = thread.path.at(-1);
    if (!answer) throw new Error('no answer');
    expect(thread.canContinue(answer)).toBe(true);
    thread.continue(answer);
    const before = answer.parts;
    server.stream.start('c1', 'a1c1', 'g2');
    server.stream.sink.appended('reasoning', 'Hm');
    server.stream.sink.appended('text', 'Half');
    server.stream.sink.appended('text', ' an answer');
    server.stream.end();
    expect(held(thread)).toEqual(['reasoning:Hm', 'text:Half an answer']);
    expect(answer.parts).toBe(before);
    expect(texts(thread).at(-1)).toBe('Half an answer');
  });

  test('asks how long they took only where nobody here has seen that', async () => {
    const thread = await asking();
    server.stream.sink.appended('reasoning', 'Hm');
    vi.advanceTimersByTime(3_000);
    server.stream.sink.appended('text', 'Yes');
    server.stream.end();
    await settle();
    expect(server.count('listMessages c1'), 'it was heard from the beginning').toBe(1);
    expect(thread.path.at(-1)?.untimed).toBe(false);
  });

  test('that was followed from its middle is told by the server at its end', async () => {
    thinkingChat();
    const thread = await opened('c1');
    server.stream.sink.appended('text', 'Yes');
    const parts = [thought('Let me', { duration_ms: 4_200 }), said('Yes')];
    store({ content: 'Yes', status: 'completed', parts });
    server.row('c1').generation_id = null;
    server.stream.end();
    await settle();
    const part = thread.path.at(-1)?.parts[0];
    expect(part instanceof ReasoningView && part.duration).toBe(4_200);
    expect([held(thread), server.streams.length]).toEqual([['reasoning:Let me', 'text:Yes'], 1]);
  });
});

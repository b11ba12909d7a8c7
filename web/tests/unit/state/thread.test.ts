import { describe, expect, test, vi } from 'vitest';
import '$/lib/later_words';
import '$/lib/prose_words';
import { NetworkError } from '$/api/errors';
import { router } from '$/lib/router.svelte';
import { conversations } from '$/state/conversations.svelte';
import { draftOf, flushDrafts, keepDraft } from '$/state/drafts';
import { threads } from '$/state/threads.svelte';
import { server } from './fake';
import {
  accepted,
  chat,
  freshPage,
  ids,
  keys,
  opened,
  problem,
  runningChat,
  settle,
  texts,
  toastTexts,
} from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

describe('opening a chat', () => {
  test('shows the branch that was last written to', async () => {
    chat();
    server.message('c1', 'a1b', { parent_id: 'q1c1' });
    const thread = await opened('c1');
    expect([thread.status, thread.title]).toEqual(['ready', 'Chat c1']);
    expect(ids(thread)).toEqual(['q1c1', 'a1b']);
    const [, answer] = thread.path;
    if (!answer) throw new Error('no answer');
    expect(thread.versions(answer)).toEqual(['a1c1', 'a1b']);
    expect(
      thread.siblings(answer).map((one) => one.id),
      'of those that are here',
    ).toEqual(['a1b']);
  });

  test('a head that the list doesn’t hold makes the list be read again', async () => {
    chat();
    server.message('c1', 'q2');
    server.row('c1').head_message_id = 'a2';
    const answer = server.hold('listMessages');
    const thread = threads.open('c1');
    await settle();
    server.message('c1', 'a2', { parent_id: 'q2' });
    answer();
    await settle();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
    expect(server.count('listMessages c1')).toBe(2);
  });

  test('says that there is none, or why it can’t be read', async () => {
    server.fail('getConversation', problem(404, 'not_found'));
    server.fail('listMessages', problem(404, 'not_found'));
    expect((await opened('gone')).status).toBe('missing');
    chat();
    server.fail('listMessages', problem(500, 'odd'));
    const thread = await opened('c1');
    expect([thread.status, thread.error]).toEqual(['failed', 'detail of odd']);
    await thread.reload();
    expect([thread.status, thread.error]).toEqual(['ready', null]);
  });

  test('follows an answer that is being written from exactly the text it has', async () => {
    runningChat();
    const thread = await opened('c1');
    expect(server.stream.source).toEqual({ kind: 'attach', generationId: 'g2', after: 'g2:1.3' });
    server.stream.sink.appended('text', ', so good');
    server.stream.end();
    expect(texts(thread).at(-1)).toBe('So far, so good');
    expect(thread.path.at(-1)?.status).toBe('completed');
    expect(thread.running).toBeNull();
    expect(conversations.find('c1')?.generationId).toBeNull();
  });
});

describe('asking', () => {
  test('echoes at once, and keeps its keys when the server has given ids', async () => {
    chat();
    const thread = await opened('c1');
    const sent = thread.send('More?');
    expect(texts(thread).slice(2)).toEqual(['More?', '']);
    expect(thread.running?.phase).toBe('sending');
    const before = keys(thread);
    const { source } = server.stream;
    expect(source).toMatchObject({ kind: 'send', body: { message: 'More?', conversation_id: 'c1' } });
    expect(source.kind === 'send' && /^[0-9a-f-]{36}$/.test(source.key)).toBe(true);
    expect(source.kind === 'send' && 'parent_id' in source.body).toBe(false);
    accepted('c1', 'q2', 'a2', 'g2', 'More?');
    server.stream.start('c1', 'a2', 'g2');
    await sent;
    server.stream.sink.appended('text', 'Yes.');
    await thread.reload();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
    expect(texts(thread).slice(2)).toEqual(['More?', 'Yes.']);
    expect(keys(thread)).toEqual(before);
    expect(server.streams).toHaveLength(1);
  });

  test('asks nothing that can’t be seen, and shows what the server will have', async () => {
    chat();
    const thread = await opened('c1');
    await thread.send(' \u200b\u3164\n');
    expect(texts(thread)).toHaveLength(2);
    void thread.send('cut \ud83d');
    expect(texts(thread).slice(2)).toEqual(['cut \ufffd', '']);
    expect(server.stream.source).toMatchObject({ kind: 'send', body: { message: 'cut \ufffd' } });
  });

  test('names a new chat, and its address, without another thread', async () => {
    const thread = await opened(null);
    expect(thread.status).toBe('new');
    void thread.send('What is a river?\nIn short.');
    server.conversation('c9', { title: 'Rivers' });
    accepted('c9', 'q1', 'a1', 'g1', 'What is a river?');
    server.stream.start('c9', 'a1', 'g1');
    expect([thread.conversationId, thread.title, router.path]).toEqual(['c9', 'What is a river?', '/c/c9']);
    expect(threads.open('c9')).toBe(thread);
    await settle();
    expect(thread.title).toBe('Rivers');
    expect(server.stream.detached).toBe(false);
    expect(threads.open(null)).not.toBe(thread);
  });

  test('leaves the address alone when another chat was opened meanwhile', async () => {
    const thread = await opened(null);
    void thread.send('Question');
    const { stream } = server;
    chat();
    const { navigate } = await import('$/lib/router.svelte');
    navigate('/c/c1');
    await opened('c1');
    // Let go of before it is accepted, the question would be lost.
    expect(stream.detached).toBe(false);
    server.conversation('c9');
    stream.start('c9', 'a1', 'g1');
    expect(stream.detached).toBe(true);
    expect(router.path).toBe('/c/c1');
    expect(conversations.find('c9')?.generationId).toBe('g1');
  });

  test('a refusal gives the text back and leaves no trace', async () => {
    const thread = await opened(null);
    const sent = thread.send('Too long');
    server.stream.sink.refused(problem(422, 'odd'));
    await sent;
    expect(thread.refusal).toEqual({ text: 'Too long', message: 'detail of odd' });
    expect([thread.status, thread.path.length, thread.running]).toEqual(['new', 0, null]);
    void thread.send('Again');
    expect(thread.refusal).toBeNull();
  });

  test('refused because an answer runs: the text comes back, and that answer is followed', async () => {
    chat();
    const thread = await opened('c1');
    void thread.send('Mine');
    accepted('c1', 'q2', 'a2', 'g2', 'Theirs');
    server.stream.sink.refused(problem(409, 'generation_running', { generation_id: 'g2' }));
    await settle();
    expect(thread.refusal?.text).toBe('Mine');
    expect(texts(thread)).toContain('Theirs');
    expect(server.stream.source).toMatchObject({ kind: 'attach', generationId: 'g2' });
  });

  test('refused because the chat is gone: the text is kept', async () => {
    chat();
    const thread = await opened('c1');
    void thread.send('Mine');
    server.rows.clear();
    server.fail('getConversation', problem(404, 'not_found'));
    server.fail('listMessages', problem(404, 'not_found'));
    server.stream.sink.refused(problem(404, 'not_found'));
    await settle();
    expect([thread.status, thread.refusal?.text]).toEqual(['missing', 'Mine']);
  });

  test('what was being typed in a chat that is gone waits in the new one', async () => {
    chat();
    const thread = await opened('c1');
    keepDraft('c1', 'half');
    keepDraft('new', 'other');
    server.fail('getConversation', problem(404, 'not_found'));
    await thread.reload();
    expect([thread.status, draftOf('c1'), draftOf('new')]).toEqual(['missing', '', 'half\n\nother']);
  });

  test('until it is accepted or refused, a reload would not lose it', async () => {
    const stored = () => {
      flushDrafts();
      return sessionStorage.getItem('drafts') ?? '';
    };
    const thread = await opened(null);
    const sent = thread.send('Precious');
    expect(stored()).toContain('Precious');
    server.conversation('c9');
    server.stream.start('c9', 'a1', 'g1');
    await sent;
    expect(stored()).not.toContain('Precious');
  });

  test('while an answer runs nothing is sent and nothing is lost', async () => {
    runningChat();
    const thread = await opened('c1');
    await thread.send('Impatient');
    expect(thread.refusal?.text).toBe('Impatient');
    expect(server.streams).toHaveLength(1);
  });

  test('a list that was asked for before the question does not show it twice', async () => {
    chat();
    const thread = await opened('c1');
    const answer = server.hold('listMessages');
    const read = thread.reload();
    void thread.send('More?');
    accepted('c1', 'q2', 'a2', 'g2', 'More?');
    answer();
    await read;
    await settle();
    expect(texts(thread).slice(2)).toEqual(['More?', '']);
    server.stream.start('c1', 'a2', 'g2');
    await settle();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
  });

  test('on a branch chosen by hand it says which', async () => {
    chat();
    server.message('c1', 'a1b', { parent_id: 'q1c1' });
    const thread = await opened('c1');
    const answer = thread.path[1];
    const first = answer && thread.versions(answer)[0];
    if (!first) throw new Error('no sibling');
    const release = server.hold('chooseBranch');
    thread.choose(first);
    await vi.dynamicImportSettled();
    await settle();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1']);
    void thread.send('More?');
    expect(server.stream.source).toMatchObject({ body: { parent_id: 'a1c1' } });
    expect(texts(thread)).toHaveLength(4);
    release();
  });
});

describe('stopping', () => {
  test('asks the server; the stream tells of the end', async () => {
    runningChat();
    const thread = await opened('c1');
    await thread.stop();
    expect([thread.stopping, server.count('stopGeneration g2')]).toEqual([true, 1]);
    server.stream.end('stopped', null);
    expect([thread.stopping, thread.path.at(-1)?.status]).toEqual([false, 'stopped']);
  });

  test('before the answer has a name it waits for it', async () => {
    chat();
    const thread = await opened('c1');
    void thread.send('More?');
    await thread.stop();
    expect(server.calls.some((call) => call.startsWith('stop'))).toBe(false);
    server.stream.start('c1', 'a2', 'g2');
    await settle();
    expect(server.count('stopGeneration g2')).toBe(1);
  });

  test('takes back a question that doesn’t get through', async () => {
    const thread = await opened(null);
    const sent = thread.send('More?');
    server.stream.sink.phase('offline');
    await thread.stop();
    await sent;
    expect(thread.refusal?.text).toBe('More?');
    expect([server.stream.detached, thread.path.length, thread.stopping]).toEqual([true, 0, false]);
  });

  test('takes it back too when it turns out only later that nothing gets through', async () => {
    const thread = await opened(null);
    const sent = thread.send('More?');
    await thread.stop();
    expect(thread.stopping).toBe(true);
    server.calls = [];
    server.stream.sink.phase('reconnecting');
    await sent;
    expect([thread.refusal?.text, server.stream.detached, thread.stopping]).toEqual(['More?', true, false]);
    // It may be stored: then it is in the list.
    expect(server.count('listConversations')).toBe(1);
  });

  test('that fails is said, and can be tried again', async () => {
    runningChat();
    const thread = await opened('c1');
    server.fail('stopGeneration', problem(500, 'odd'));
    await thread.stop();
    expect(thread.stopping).toBe(false);
    expect(toastTexts()[0]).toContain('detail of odd');
  });
});

describe('retry and continue', () => {
  test('a retry is a new answer beside the old one', async () => {
    chat();
    const thread = await opened('c1');
    const old = thread.path[1];
    if (!old) throw new Error('no answer');
    thread.retry(old, 'local/big');
    expect(server.stream.source).toMatchObject({
      kind: 'retry',
      generationId: 'g-a1c1',
      body: { model: 'local/big' },
    });
    server.stream.start('c1', 'a1b', 'g9');
    server.stream.sink.appended('text', 'Better');
    server.stream.end();
    expect(texts(thread)).toEqual(['text of q1c1', 'Better']);
    expect(thread.versions(old)).toEqual(['a1c1', 'a1b']);
    expect(old.text).toBe('text of a1c1');
  });

  test('a refused retry leaves the old answer in sight', async () => {
    chat();
    const thread = await opened('c1');
    const old = thread.path[1];
    if (!old) throw new Error('no answer');
    thread.retry(old);
    server.stream.sink.refused(new NetworkError('no answer'));
    expect(ids(thread)).toEqual(['q1c1', 'a1c1']);
    expect([thread.running, toastTexts().length]).toEqual([null, 1]);
  });

  test('a continuation grows the same message without a flash', async () => {
    chat();
    Object.assign(server.messages.get('c1')?.[1] ?? {}, { status: 'interrupted', content: 'Half an' });
    const thread = await opened('c1');
    const message = thread.path[1];
    if (!message) throw new Error('no answer');
    expect(thread.canContinue(message)).toBe(true);
    const said: string[] = [];
    message.parts[0]?.follow({
      reset: (text) => said.push(`reset:${text}`),
      append: (text) => said.push(`append:${text}`),
      finish: () => said.push('finish'),
    });
    thread.continue(message);
    expect(thread.canContinue(message)).toBe(false);
    server.stream.start('c1', 'a1c1', 'g9');
    server.stream.sink.appended('text', 'Half an');
    server.stream.sink.appended('text', ' answer');
    server.stream.end();
    expect(said).toEqual(['reset:Half an', 'finish', 'append: answer', 'finish']);
    expect([message.status, message.generationId]).toEqual(['completed', 'g9']);
  });

  test('a refused continuation leaves the message as it was', async () => {
    chat();
    Object.assign(server.messages.get('c1')?.[1] ?? {}, { status: 'stopped' });
    const thread = await opened('c1');
    const message = thread.path[1];
    if (!message) throw new Error('no answer');
    thread.continue(message);
    server.stream.sink.refused(problem(422, 'odd'));
    expect([message.status, message.phase, thread.running]).toEqual(['stopped', null, null]);
    expect(toastTexts()[0]).toContain('detail of odd');
  });

  test('what can be retried or continued', async () => {
    chat();
    const thread = await opened('c1');
    const [question, answer] = thread.path;
    if (!question || !answer) throw new Error('no messages');
    expect([thread.canRetry(question), thread.canRetry(answer), thread.canContinue(answer)]).toEqual([
      false,
      true,
      false,
    ]);
    answer.finishReason = 'length';
    expect(thread.canContinue(answer)).toBe(true);
    void thread.send('More?');
    expect([thread.canRetry(answer), thread.canContinue(answer)]).toEqual([false, false]);
  });
});

describe('an answer that is lost', () => {
  test('is read again and followed on, with nothing taken out of sight', async () => {
    runningChat();
    const thread = await opened('c1');
    const said: string[] = [];
    thread.running?.parts[0]?.follow({
      reset: () => said.push('reset'),
      append: (text) => said.push(text),
      finish: () => {},
    });
    server.stream.sink.appended('text', ', so');
    Object.assign(server.messages.get('c1')?.[3] ?? {}, {
      content: 'So far, so good',
      last_event_id: 'g2:1.9',
    });
    server.stream.sink.lost();
    expect(thread.running?.phase).toBe('reconnecting');
    await settle();
    expect(said).toEqual(['reset', ', so', ' good']);
    expect(server.stream.source).toMatchObject({ kind: 'attach', after: 'g2:1.9' });
  });

  test('while an older list is on its way: no word comes twice', async () => {
    runningChat();
    const thread = await opened('c1');
    const arrive = server.hold('listMessages');
    const read = thread.reload();
    await settle();
    server.stream.sink.appended('text', ', so good');
    server.stream.sink.lost();
    arrive();
    await read;
    // The list's place in the log is that of its own, shorter text.
    const { source } = server.stream;
    expect(source).toMatchObject({ kind: 'attach', after: null });
    server.stream.start('c1', 'a2', 'g2');
    server.stream.sink.appended('text', 'So far, so good, so on');
    expect(thread.running?.text).toBe('So far, so good, so on');
  });

  test('that has ended meanwhile is shown as it ended', async () => {
    runningChat();
    const thread = await opened('c1');
    Object.assign(server.messages.get('c1')?.[3] ?? {}, { content: 'Other words', status: 'completed' });
    server.row('c1').generation_id = null;
    server.stream.sink.lost();
    await settle();
    expect([texts(thread).at(-1), thread.running, server.streams.length]).toEqual(['Other words', null, 1]);
  });

  test('again and again, it is looked for ever more rarely', async () => {
    // The longest pause of each.
    vi.spyOn(Math, 'random').mockReturnValue(1);
    runningChat();
    await opened('c1');
    const reads = () => server.count('listMessages c1');
    server.stream.sink.lost();
    await settle();
    expect([reads(), server.streams.length]).toEqual([2, 2]);
    server.stream.sink.lost();
    await settle();
    expect(reads()).toBe(2);
    await vi.advanceTimersByTimeAsync(1000);
    expect(reads()).toBe(3);
    server.stream.sink.lost();
    await vi.advanceTimersByTimeAsync(1999);
    expect(reads()).toBe(3);
    await vi.advanceTimersByTimeAsync(1);
    expect(reads()).toBe(4);
    server.stream.sink.appended('text', ' more');
    server.stream.sink.lost();
    await settle();
    expect(reads()).toBe(5);
  });

  test('while the server is away is looked for until it is back', async () => {
    runningChat();
    const thread = await opened('c1');
    server.fail('getConversation', new NetworkError('no answer'));
    server.stream.sink.lost();
    await settle();
    expect([thread.status, thread.running?.phase, texts(thread).at(-1)]).toEqual([
      'ready',
      'reconnecting',
      'So far',
    ]);
    expect(thread.error).not.toBeNull();
    await vi.advanceTimersByTimeAsync(1000);
    expect([thread.error, server.streams.length]).toEqual([null, 2]);
  });
});

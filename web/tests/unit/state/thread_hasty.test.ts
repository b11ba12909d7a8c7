import { describe, expect, test, vi } from 'vitest';
import { NetworkError } from '$/api/errors';
import { server } from './fake';
import { accepted, chat, freshPage, ids, opened, problem, settle } from './support';

vi.mock('$/api/client', async () => (await import('./fake')).client);
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

describe('asking before the chat is read', () => {
  /** Opens the chat and asks while its messages, as they were before, are on their way. */
  async function hasty() {
    chat();
    const arrive = server.hold('listMessages');
    const thread = await opened('c1');
    void thread.send('More?');
    return { thread, arrive };
  }

  test('shows what came before, also where the server was faster with the question', async () => {
    const { thread, arrive } = await hasty();
    accepted('c1', 'q2', 'a2', 'g2', 'More?');
    server.stream.start('c1', 'a2', 'g2');
    arrive();
    await settle();
    expect(ids(thread)).toEqual(['q1c1', 'a1c1', 'q2', 'a2']);
  });

  test('the text is not lost when it turns out that the chat is gone', async () => {
    server.fail('listMessages', problem(404, 'not_found'));
    const { thread, arrive } = await hasty();
    arrive();
    await settle();
    expect([thread.refusal, server.stream.detached]).toEqual([null, false]);
    server.fail('getConversation', problem(404, 'not_found'));
    server.stream.sink.refused(problem(404, 'not_found'));
    await settle();
    expect([thread.status, thread.refusal?.text]).toEqual(['missing', 'More?']);
  });

  test('refused by nobody known, the chat is read all the same', async () => {
    const { thread, arrive } = await hasty();
    arrive();
    await settle();
    server.stream.sink.refused(new NetworkError('no stream'));
    await settle();
    expect([thread.status, ids(thread), thread.refusal?.text]).toEqual(['ready', ['q1c1', 'a1c1'], 'More?']);
  });
});

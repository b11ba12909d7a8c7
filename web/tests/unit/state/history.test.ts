import { describe, expect, test, vi } from 'vitest';
import { MOST_MESSAGES, readHistory } from '$/state/history';
import { at, server } from './fake';
import { freshPage } from './support';

vi.mock('$/api/client', async () => {
  const { client } = await import('./fake');
  return { ...client, listMessages: (...call: Parameters<typeof client.listMessages>) => list(...call) };
});
vi.mock('$/stream/answer_stream', async () => (await import('./fake')).stream);
freshPage();

let list: (id: string, query: { cursor?: string; limit?: number }) => Promise<unknown>;
const signal = new AbortController().signal;

describe('the messages of a chat', () => {
  test('of very many the newest are kept', async () => {
    server.conversation('c1');
    const total = MOST_MESSAGES + 250;
    list = async (_id, { cursor, limit = 0 }) => {
      const from = Number(cursor ?? 0);
      const messages = Array.from({ length: Math.min(limit, total - from) }, (_, n) => ({
        id: `m${from + n}`,
        role: 'user',
        content: '',
        status: 'completed',
        created_at: at(0),
      }));
      return { messages, next_cursor: from + limit < total ? String(from + limit) : null };
    };
    const { messages } = await readHistory('c1', signal);
    expect([messages.length, messages[0]?.id, messages.at(-1)?.id]).toEqual([
      MOST_MESSAGES,
      'm250',
      `m${total - 1}`,
    ]);
  });

  test('a cursor that comes back is an error, not for ever', async () => {
    server.conversation('c1');
    list = async () => ({ messages: [], next_cursor: 'again' });
    await expect(readHistory('c1', signal)).rejects.toThrow('repeats its cursor');
  });
});

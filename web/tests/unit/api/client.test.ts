import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as api from '$/api/client';
import { connection } from '$/api/connection.svelte';
import { ApiError, NetworkError } from '$/api/errors';

interface Seen {
  method: string;
  path: string;
  headers: Headers;
  body: string;
  keepalive: boolean;
}

let seen: Seen[];
let answer: () => Response | Promise<Response>;

beforeEach(() => {
  seen = [];
  answer = () => Response.json({});
  vi.stubGlobal('fetch', async (input: Request | string, init?: RequestInit) => {
    const request = input instanceof Request ? input : new Request(new URL(input, location.href), init);
    const url = new URL(request.url);
    seen.push({
      method: request.method,
      path: url.pathname + url.search,
      headers: request.headers,
      body: await request.text(),
      keepalive: request.keepalive,
    });
    return answer();
  });
});
afterEach(() => vi.unstubAllGlobals());

const stream = () => new Response('', { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });

async function thrown(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable('it was accepted'),
    (error) => error,
  );
}

describe('requests', () => {
  it('are well-formed, whatever was cut in halves', async () => {
    await api.login({ username: 'u\ud83d', password: '\ude00\ud83dpassword' });
    await api.renameConversation('c1', 'a😀\ude00');
    answer = stream;
    await api.ask({ message: 'cut \ud83d', model: 'm\ude00' }, { key: 'k' });
    expect(seen.map(({ body }) => JSON.parse(body))).toEqual([
      { username: 'u\ufffd', password: '\ufffd\ufffdpassword' },
      { title: 'a😀\ufffd' },
      { message: 'cut \ufffd', model: 'm\ufffd' },
    ]);
    expect(seen.every(({ body }) => !/\\u[dD][89a-fA-F]/.test(body))).toBe(true);
  });

  it('go where the document says', async () => {
    await api.register({ username: 'u', email: 'e@example.com', password: 'p' });
    await api.login({ username: 'u', password: 'p' });
    await api.signedInUser();
    await api.listConversations({ cursor: 'a/b', limit: 30 });
    answer = () => Response.json({ conversations: [{ id: 'c 1' }], next_cursor: null });
    await api.getConversation('c 1');
    await api.renameConversation('c1', 'T');
    await api.listMessages('c1', { path: 'head', cursor: 'x' });
    await api.listModels();
    await api.getGeneration('g1');
    await api.stopGeneration('g1');
    answer = () => new Response(null, { status: 204 });
    await api.logout();
    await api.deleteConversation('c1', { keepalive: true });
    expect(seen.map(({ method, path }) => `${method} ${path.replace('/api/v1', '')}`)).toEqual([
      'POST /auth/register',
      'POST /auth/login',
      'GET /auth/session',
      'GET /conversations?cursor=a%2Fb&limit=30',
      'GET /conversations?id=c%201',
      'PATCH /conversations/c1',
      'GET /conversations/c1/messages?path=head&cursor=x',
      'GET /models',
      'GET /chat/generations/g1',
      'POST /chat/generations/g1/stop',
      'POST /auth/logout',
      'DELETE /conversations/c1',
    ]);
    expect(seen[5]?.body).toBe('{"title":"T"}');
    expect(seen.map(({ keepalive }) => keepalive).lastIndexOf(true)).toBe(11);
  });

  it('for streams carry their key and leave the body unread', async () => {
    answer = stream;
    const body = { message: 'Hi', conversation_id: 'c1' };
    for (const response of [
      await api.ask(body, { key: 'k1' }),
      await api.continueAnswer('g/1', { key: 'k2' }),
      await api.retryAnswer('g1', { model: 'm' }, { key: 'k3' }),
      await api.attach({ generationId: 'g1', after: '1.7' }),
      await api.attach({ generationId: 'g1', after: null }),
    ]) {
      expect(response.bodyUsed).toBe(false);
    }
    expect(
      seen.map(({ method, path, headers, body }) => [method, path, headers.get('idempotency-key'), body]),
    ).toEqual([
      ['POST', '/api/v1/chat/stream', 'k1', JSON.stringify(body)],
      ['POST', '/api/v1/chat/generations/g%2F1/continue', 'k2', ''],
      ['POST', '/api/v1/chat/generations/g1/retry', 'k3', '{"model":"m"}'],
      ['GET', '/api/v1/chat/stream?generation_id=g1&after=1.7', null, ''],
      ['GET', '/api/v1/chat/stream?generation_id=g1', null, ''],
    ]);
  });
});

describe('faults', () => {
  it('a refusal is an ApiError with its document and Retry-After', async () => {
    answer = () =>
      Response.json({ code: 'rate_limited', detail: 'x' }, { status: 429, headers: { 'retry-after': '3' } });
    for (const call of [
      () => api.signedInUser(),
      () => api.ask({ message: 'x' }, { key: 'k' }),
      () => api.retryAnswer('g', {}, { key: 'k' }),
    ]) {
      const error = await thrown(call());
      expect(error).toBeInstanceOf(ApiError);
      expect(error).toMatchObject({ status: 429, code: 'rate_limited', retryAfter: 3 });
    }
  });

  it('no answer is a NetworkError, and so is one that is none of the server’s', async () => {
    answer = () => Promise.reject(new TypeError('Failed to fetch'));
    expect(await thrown(api.signedInUser())).toBeInstanceOf(NetworkError);
    answer = () => new Response('<html>', { headers: { 'content-type': 'text/html' } });
    expect(await thrown(api.signedInUser())).toBeInstanceOf(NetworkError);
    expect(await thrown(api.ask({ message: 'x' }, { key: 'k' }))).toBeInstanceOf(NetworkError);
  });

  it('the caller’s own abort is thrown as it is', async () => {
    const abort = new AbortController();
    answer = () => {
      abort.abort();
      return Promise.reject(new DOMException('aborted', 'AbortError'));
    };
    expect(await thrown(api.signedInUser({ signal: abort.signal }))).toMatchObject({ name: 'AbortError' });
  });

  it('can be given up in a browser that cannot join signals', async () => {
    vi.stubGlobal('AbortSignal', { timeout: AbortSignal.timeout.bind(AbortSignal) });
    const abort = new AbortController();
    const signals: AbortSignal[] = [];
    vi.stubGlobal('fetch', (request: Request) => {
      signals.push(request.signal);
      return new Promise((_, reject) => {
        request.signal.addEventListener('abort', () => reject(request.signal.reason));
      });
    });
    const asked = thrown(api.signedInUser({ signal: abort.signal }));
    await vi.waitFor(() => expect(signals).toHaveLength(1));
    abort.abort();
    expect(await asked).toMatchObject({ name: 'AbortError' });
  });

  it('a conversation that is not there is an error made of an answer', async () => {
    answer = () => Response.json({ conversations: [], next_cursor: null });
    expect(await thrown(api.getConversation('c1'))).toMatchObject({ status: 404, code: 'not_found' });
  });

  it('nothing to follow is no fault', async () => {
    answer = () => new Response(null, { status: 204 });
    expect((await api.attach({ generationId: 'g', after: null })).status).toBe(204);
  });

  it('everybody hears of a 401, but not of a wrong password', async () => {
    let calls = 0;
    const end = api.onUnauthenticated(() => {
      calls += 1;
    });
    answer = () => Response.json({ code: 'session_ended' }, { status: 401 });
    await thrown(api.signedInUser());
    await thrown(api.attach({ generationId: 'g', after: null }));
    await thrown(api.continueAnswer('g', { key: 'k' }));
    expect(calls).toBe(3);
    await thrown(api.login({ username: 'u', password: 'p' }));
    expect(calls).toBe(3);
    end();
    await thrown(api.signedInUser());
    expect(calls).toBe(3);
  });
});

describe('what a request says of the connection', () => {
  const told = async (made: () => Response) => {
    const heard = vi.spyOn(connection, 'heard').mockClear();
    const missed = vi.spyOn(connection, 'missed').mockClear();
    answer = made;
    await api.signedInUser().catch(() => undefined);
    return [heard.mock.calls.length, missed.mock.calls.length];
  };

  it('any answer of the server’s own says that it is there', async () => {
    expect(await told(() => Response.json({}))).toEqual([1, 0]);
    expect(await told(() => Response.json({ code: 'not_found' }, { status: 404 }))).toEqual([1, 0]);
    expect(await told(() => Response.json({ code: 'draining' }, { status: 503 }))).toEqual([1, 0]);
  });

  it('no answer, and a proxy’s in its place, say that it may not be', async () => {
    const none = () => {
      throw new TypeError('Failed to fetch');
    };
    expect(await told(none)).toEqual([0, 1]);
    expect(await told(() => new Response('Bad Gateway', { status: 502 }))).toEqual([0, 1]);
  });

  it('a request that its caller gave up says nothing', async () => {
    const missed = vi.spyOn(connection, 'missed');
    answer = () => {
      throw new DOMException('Aborted', 'AbortError');
    };
    await api.signedInUser({ signal: AbortSignal.abort() }).catch(() => undefined);
    expect(missed).not.toHaveBeenCalled();
  });
});

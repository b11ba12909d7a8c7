import { randomUUID } from 'node:crypto';
import type { Server } from './server';

export const PASSWORD = 'correct horse battery';

export interface StoredMessage {
  id: string;
  parent_id: string | null;
  role: string;
  content: string;
  status: string;
  model: string | null;
}

export interface StoredConversation {
  id: string;
  title: string;
  updated_at: string;
}

interface Event {
  type: string;
  content?: string;
  conversation_id?: string;
  generation_id?: string;
}

/** A user who talks to the API directly: to prepare what the page shall show, and to check what it showed. */
export class Api {
  private constructor(
    readonly server: Server,
    readonly username: string,
    readonly token: string,
  ) {}

  /** Registers somebody new and signs in. */
  static async newUser(server: Server): Promise<Api> {
    const username = `user-${randomUUID().slice(0, 8)}`;
    const form = { username, email: `${username}@example.com`, password: PASSWORD };
    await post(server, '/auth/register', form);
    return Api.signIn(server, username, PASSWORD);
  }

  static async signIn(server: Server, username: string, password: string): Promise<Api> {
    const answer = await post(server, '/auth/login', { username, password });
    const { access_token } = (await answer.json()) as { access_token: string };
    return new Api(server, username, access_token);
  }

  /** The same user before another server process or through another address. */
  async request(method: string, path: string, body?: unknown): Promise<Response> {
    const init: RequestInit = { method, headers: { authorization: `Bearer ${this.token}` } };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { ...init.headers, 'content-type': 'application/json' };
    }
    const response = await fetch(this.server.api + path, init);
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  async get<T>(path: string): Promise<T> {
    return (await (await this.request('GET', path)).json()) as T;
  }

  async conversations(): Promise<StoredConversation[]> {
    return (await this.get<{ conversations: StoredConversation[] }>('/conversations?limit=100'))
      .conversations;
  }

  /** All messages, oldest first. */
  async messages(conversationId: string): Promise<StoredMessage[]> {
    const all: StoredMessage[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: { messages: StoredMessage[]; next_cursor: string | null } = await this.get(
        `/conversations/${conversationId}/messages?limit=100${query}`,
      );
      all.push(...page.messages);
      cursor = page.next_cursor;
    } while (cursor !== null);
    return all;
  }

  /** Asks and reads the answer to its end. */
  async ask(message: string, more: { conversation_id?: string; model?: string } = {}): Promise<string> {
    const response = await this.request('POST', '/chat/stream', { message, ...more });
    const events = eventsOf(await response.text());
    return events.find((event) => event.type === 'start')?.conversation_id ?? '';
  }

  /** Asks and leaves the answer to be written. */
  async askAndLeave(
    message: string,
    more: { conversation_id?: string; model?: string } = {},
  ): Promise<string> {
    const response = await this.request('POST', '/chat/stream', { message, ...more });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const start = eventsOf(text).find((event) => event.type === 'start');
      if (start) {
        await reader?.cancel();
        return start.conversation_id ?? '';
      }
      const part = await reader?.read();
      if (!part || part.done) throw new Error(`no start came: ${text}`);
      text += part.value;
    }
  }

  async rename(conversationId: string, title: string) {
    await this.request('PATCH', `/conversations/${conversationId}`, { title });
  }
}

function eventsOf(stream: string): Event[] {
  const whole = stream.slice(0, stream.lastIndexOf('\n\n') + 1);
  const data = whole.split('\n').filter((line) => line.startsWith('data: '));
  return data.map((line) => JSON.parse(line.slice('data: '.length)) as Event);
}

async function post(server: Server, path: string, body: unknown): Promise<Response> {
  const response = await fetch(server.api + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
  return response;
}

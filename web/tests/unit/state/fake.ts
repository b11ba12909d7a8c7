import type { Conversation, Message, Model, User } from '$/api/client';
import { ApiError } from '$/api/errors';
import type { AnswerSink, End, Source } from '$/stream/answer_stream';

// A server in memory and streams that are moved by hand. Both are the same for all tabs of a test.

export type Row = Conversation & { generation_id: string | null };

export class FakeStream {
  opened = 0;
  detached = false;
  generationId: string | null = null;

  constructor(
    readonly source: Source,
    readonly sink: AnswerSink,
  ) {
    server.streams.push(this);
  }

  open(): void {
    this.opened += 1;
  }

  detach(): void {
    this.detached = true;
  }

  start(conversationId: string, messageId: string, generationId: string): void {
    this.generationId = generationId;
    this.sink.started({ generationId, conversationId, messageId, model: 'local/small' });
  }

  end(status: End['status'] = 'completed', finishReason: string | null = 'stop'): void {
    this.sink.ended({ status, finishReason, error: null });
  }
}

class FakeServer {
  user: User = { id: 'u1', username: 'ada', email: 'ada@example.com', is_admin: false, created_at: at(0) };
  /** Whether the browser's cookie is still good. */
  signedIn = true;
  rows = new Map<string, Row>();
  messages = new Map<string, Message[]>();
  models: Model[] = [];
  /** Where the memory of every answer begins that is asked about. */
  remembersFrom: string | null = null;
  /** What was asked, as `name` or `name id`. */
  calls: string[] = [];
  streams: FakeStream[] = [];
  pageSize = 200;
  #faults = new Map<string, unknown>();
  #gates = new Map<string, Promise<void>>();

  /** The next call of a name fails. */
  fail(name: string, error: unknown): void {
    this.#faults.set(name, error);
  }

  /** Calls of a name wait, their answers already made, until the returned function is called. */
  hold(name: string): () => void {
    let open = () => {};
    this.#gates.set(
      name,
      new Promise((resolve) => {
        open = resolve;
      }),
    );
    return () => {
      this.#gates.delete(name);
      open();
    };
  }

  async answer<T>(name: string, id: string, make: () => T): Promise<T> {
    this.calls.push(id === '' ? name : `${name} ${id}`);
    const fault = this.#faults.get(name);
    this.#faults.delete(name);
    const made = fault === undefined ? structuredClone(make()) : undefined;
    await this.#gates.get(name);
    if (fault !== undefined) throw fault;
    return made as T;
  }

  count(call: string): number {
    return this.calls.filter((made) => made === call).length;
  }

  get stream(): FakeStream {
    const last = this.streams.at(-1);
    if (!last) throw new Error('no stream was made');
    return last;
  }

  row(id: string): Row {
    const row = this.rows.get(id);
    if (!row) throw Object.assign(new Error(`no conversation ${id}`), { status: 404 });
    return row;
  }

  /** Adds a conversation. */
  conversation(id: string, rest: Partial<Row> = {}): Row {
    const row = {
      id,
      title: `Chat ${id}`,
      created_at: at(0),
      updated_at: at(0),
      generation_id: null,
      title_pending: false,
      ...rest,
    };
    this.rows.set(id, { head_message_id: null, ...row });
    this.messages.set(id, []);
    return this.row(id);
  }

  /** Adds a message; the conversation's head moves to it. */
  message(conversation: string, id: string, rest: Partial<Message> = {}): Message {
    const list = this.messages.get(conversation) ?? [];
    const row = this.row(conversation);
    const message: Message = {
      id,
      parent_id: row.head_message_id ?? null,
      role: id.startsWith('q') ? 'user' : 'assistant',
      content: `text of ${id}`,
      status: 'completed',
      created_at: at(list.length),
      ...(id.startsWith('q') ? {} : { generation_id: `g-${id}`, model: 'local/small' }),
      ...rest,
    };
    list.push(message);
    row.head_message_id = id;
    return message;
  }

  /** The end of the newest branch through a message. */
  tip(conversation: string, id: string): string {
    const next = this.messages.get(conversation)?.findLast((message) => message.parent_id === id);
    return next ? this.tip(conversation, next.id) : id;
  }

  reset(): void {
    this.rows.clear();
    this.messages.clear();
    this.models = [];
    this.remembersFrom = null;
    this.calls = [];
    this.streams = [];
    this.pageSize = 200;
    this.#faults.clear();
    this.#gates.clear();
  }
}

/** A moment of the fake server, so many minutes after noon of a day in March. */
export function at(minutes: number): string {
  return new Date(Date.UTC(2026, 2, 12, 12, minutes)).toISOString();
}

const shared = globalThis as unknown as { fakeServer?: FakeServer };
// Kept outside of the modules: a second tab loads them anew and talks to the same server.
shared.fakeServer ??= new FakeServer();
export const server = shared.fakeServer;

interface Page {
  cursor?: string;
  limit?: number;
}

function page<T>(items: T[], { cursor, limit = 50 }: Page): [T[], string | null] {
  const from = Number(cursor ?? 0);
  const to = from + Math.min(limit, server.pageSize);
  return [items.slice(from, to), to < items.length ? String(to) : null];
}

/** A page of the branch that ends at the cursor, or goes through `path`. */
function branch({ id, head_message_id }: Row, { cursor, limit = 50, path }: Page & { path: string }) {
  const rows = server.messages.get(id) ?? [];
  const find = (one: string | null | undefined) => rows.find((message) => message.id === one);
  const end = cursor ?? (path === 'head' ? (head_message_id ?? rows.at(-1)?.id) : path);
  if (path !== 'head' && !find(path)) throw problem(404, 'not_found');
  let next = find(cursor ?? (end && find(end) ? server.tip(id, end) : rows.at(-1)?.id));
  const messages: Message[] = [];
  while (next && messages.length < Math.min(limit, server.pageSize)) {
    const { parent_id, role } = next;
    const beside = rows.filter((other) => other.parent_id === parent_id && other.role === role);
    messages.unshift({ ...next, siblings: beside.map((other) => other.id) });
    next = find(parent_id);
  }
  return { messages, next_cursor: next?.id ?? null };
}

/** A refusal of the API. */
export function problem(status: number, code: string, rest: object = {}): ApiError {
  return new ApiError(status, { code, detail: `detail of ${code}`, ...rest });
}

const unauthenticated = new Set<() => void>();

/** Stands in for `$/api/client`. */
export const client = {
  onUnauthenticated(listener: () => void) {
    unauthenticated.add(listener);
    return () => unauthenticated.delete(listener);
  },
  signedInUser: () => server.answer('signedInUser', '', () => (server.signedIn ? server.user : null)),
  login: () =>
    server.answer('login', '', () => ({ user: server.user, token_type: 'cookie', expires_in: 60 })),
  register: () => server.answer('register', '', () => server.user),
  logout: () => server.answer('logout', '', () => undefined),
  listModels: () => server.answer('listModels', '', () => ({ models: server.models })),
  listConversations: (query: Page = {}) =>
    server.answer('listConversations', query.cursor ?? '', () => {
      const rows = [...server.rows.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
      const [conversations, next_cursor] = page(rows, query);
      return { conversations, next_cursor };
    }),
  getConversation: (id: string) => server.answer('getConversation', id, () => server.row(id)),
  renameConversation: (id: string, title: string) =>
    server.answer('renameConversation', id, () => Object.assign(server.row(id), { title })),
  chooseBranch: (id: string, messageId: string) =>
    server.answer('chooseBranch', messageId, () =>
      Object.assign(server.row(id), { head_message_id: server.tip(id, messageId) }),
    ),
  deleteConversation: (id: string, { keepalive = false } = {}) =>
    server.answer('deleteConversation', keepalive ? `${id} keepalive` : id, () => {
      server.rows.delete(id);
    }),
  listMessages: (id: string, query: Page & { path: string }) =>
    server.answer('listMessages', id, () => branch(server.row(id), query)),
  getGeneration: (id: string) =>
    server.answer('getGeneration', id, () => {
      const rows = [...server.messages.values()].flat();
      const message_id = rows.find((message) => message.generation_id === id)?.id;
      return { generation_id: id, message_id, remembers_from: server.remembersFrom };
    }),
  stopGeneration: (id: string) => server.answer('stopGeneration', id, () => ({ generation_id: id })),
};

/** What the API client does on a 401. */
export function sessionEnds(): void {
  for (const listener of unauthenticated) listener();
}

/** Stands in for `$/stream/answer_stream`. */
export const stream = { AnswerStream: FakeStream };

const channels = new Set<FakeChannel>();

/** BroadcastChannel, heard at once by all the others. */
export class FakeChannel extends EventTarget {
  constructor(readonly name: string) {
    super();
    channels.add(this);
  }

  postMessage(data: unknown): void {
    for (const other of channels) {
      if (other !== this && other.name === this.name)
        other.dispatchEvent(new MessageEvent('message', { data }));
    }
  }

  static closeAll(): void {
    channels.clear();
  }
}

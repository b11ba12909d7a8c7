import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type Server as Listener,
  type ServerResponse,
  request as send,
} from 'node:http';
import type { AddressInfo } from 'node:net';

type Payload = Record<string, unknown> & { type: string };

interface Part {
  type: 'text' | 'reasoning';
  content: string;
  duration_ms?: number;
}

/** One answer: its log, and who reads it. */
class Answer {
  readonly messageId = randomUUID();
  readonly generationId = randomUUID();
  readonly frames: string[] = [];
  parts: Part[] = [];
  status = 'running';
  errorCode: string | null = null;
  readonly #readers = new Set<ServerResponse>();

  constructor(
    readonly conversationId: string,
    readonly questionId: string,
  ) {
    this.append({
      type: 'start',
      conversation_id: conversationId,
      generation_id: this.generationId,
      message_id: this.messageId,
      model: 'steady/scripted',
    });
  }

  append(payload: Payload) {
    const frame = `id: ${this.generationId}:1.${this.frames.length + 1}\ndata: ${JSON.stringify(payload)}\n\n`;
    this.frames.push(frame);
    for (const reader of this.#readers) reader.write(frame);
  }

  words(type: Part['type'], content: string) {
    const last = this.parts.at(-1);
    if (last?.type === type) last.content += content;
    else this.parts.push({ type, content });
    this.append({ type: type === 'text' ? 'chunk' : 'reasoning', content });
  }

  end(status: string, payload: Payload) {
    this.status = status;
    for (const part of this.parts) if (part.type === 'reasoning') part.duration_ms = 4200;
    this.append(payload);
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  /** Plays the log from after an event, then what comes. */
  read(response: ServerResponse, after: number) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    for (const frame of this.frames.slice(after)) response.write(frame);
    if (this.status !== 'running') {
      response.end();
      return;
    }
    this.#readers.add(response);
    response.on('close', () => this.#readers.delete(response));
  }

  cut() {
    for (const reader of this.#readers) reader.destroy();
  }

  get content(): string {
    return this.parts
      .filter(({ type }) => type === 'text')
      .map(({ content }) => content)
      .join('');
  }

  get row() {
    const thinks = this.parts.some(({ type }) => type === 'reasoning');
    return {
      id: this.messageId,
      parent_id: this.questionId,
      role: 'assistant',
      content: this.content,
      status: this.status,
      model: 'steady/scripted',
      created_at: '2026-01-15T10:00:00Z',
      generation_id: this.generationId,
      finish_reason: this.status === 'completed' ? 'stop' : null,
      error_code: this.errorCode,
      ...(this.status === 'running' ? { last_event_id: `${this.generationId}:1.${this.frames.length}` } : {}),
      ...(thinks ? { parts: this.parts } : {}),
    };
  }
}

/**
 * A server before the real one whose questions are answered by a model that thinks aloud, as a test tells it. All else, the
 * page and the accounts, is the real server's.
 */
export class Thinker {
  readonly #listener: Listener;
  readonly #target: URL;
  readonly #conversationId = randomUUID();
  readonly #rows: Record<string, unknown>[] = [];
  readonly #answers: Answer[] = [];

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#listener = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(target: string): Promise<Thinker> {
    const thinker = new Thinker(target);
    await new Promise<void>((listening) => thinker.#listener.listen(0, '127.0.0.1', listening));
    return thinker;
  }

  async stop() {
    this.#listener.closeAllConnections();
    await new Promise((closed) => this.#listener.close(closed));
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** Where its one conversation is shown. */
  get path(): string {
    return `/c/${this.#conversationId}`;
  }

  /** Asks by itself, for whoever comes later. */
  ask(question: string): void {
    this.#ask(question);
  }

  think(content: string) {
    this.#newest.words('reasoning', content);
  }

  say(content: string) {
    this.#newest.words('text', content);
  }

  complete() {
    this.#newest.end('completed', { type: 'end', status: 'completed', finish_reason: 'stop' });
  }

  fail() {
    this.#newest.errorCode = 'provider_failed';
    const error = { type: 'error', code: 'provider_failed', message: 'It failed.', retryable: true };
    this.#newest.end('failed', error);
  }

  /** Another process takes over and asks the model again. */
  askAgain() {
    if (this.#newest.parts.at(-1)?.type === 'reasoning') this.#newest.parts.pop();
    this.#newest.append({ type: 'resumed', discard: 'reasoning' });
  }

  /** Every connection breaks. */
  cut() {
    this.#newest.cut();
  }

  get #newest(): Answer {
    const answer = this.#answers.at(-1);
    if (!answer) throw new Error('nothing was asked');
    return answer;
  }

  #ask(question: string): Answer {
    const id = randomUUID();
    this.#rows.push({
      id,
      parent_id: this.#answers.at(-1)?.messageId ?? null,
      role: 'user',
      content: question,
      status: 'completed',
      created_at: '2026-01-15T10:00:00Z',
    });
    return this.#begin(id);
  }

  #begin(questionId: string): Answer {
    const answer = new Answer(this.#conversationId, questionId);
    this.#answers.push(answer);
    return answer;
  }

  async #serve(request: IncomingMessage, response: ServerResponse) {
    const url = new URL(request.url ?? '/', this.origin);
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const path = `${request.method} ${url.pathname.replace(/^\/api\/v1/, '')}`;
    const answer = this.#answers.find(({ generationId }) => url.href.includes(generationId));
    const json = (value: unknown) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (path === 'POST /chat/stream') {
      this.#ask((JSON.parse(body.toString()) as { message: string }).message).read(response, 0);
    } else if (path === 'GET /chat/stream' && answer) {
      answer.read(response, Number(url.searchParams.get('after')?.split('.').at(-1) ?? 0));
    } else if (path.endsWith('/stop') && answer) {
      answer.end('stopped', { type: 'end', status: 'stopped', finish_reason: null });
      json({ generation_id: answer.generationId, status: 'stopped' });
    } else if (path.endsWith('/retry') && answer) {
      this.#begin(answer.questionId).read(response, 0);
    } else if (path.startsWith('GET /chat/generations/') && answer) {
      json({ generation_id: answer.generationId });
    } else if (path === 'GET /conversations' && this.#answers.length > 0) {
      // The only one of its reader.
      json({ conversations: [this.#conversation], next_cursor: null });
    } else if (path === `GET /conversations/${this.#conversationId}`) {
      json(this.#conversation);
    } else if (path === `GET /conversations/${this.#conversationId}/messages`) {
      const answers = this.#answers.map(({ row }) => row);
      const messages = this.#rows.flatMap((row) => [
        row,
        ...answers.filter((each) => each.parent_id === row.id),
      ]);
      json({ messages, next_cursor: null });
    } else {
      this.#pass(request, body, response);
    }
  }

  get #conversation() {
    const newest = this.#answers.at(-1);
    return {
      id: this.#conversationId,
      title: this.#rows[0]?.content ?? '',
      created_at: '2026-01-15T10:00:00Z',
      updated_at: `2026-01-15T10:00:00.${newest?.status === 'running' ? 0 : this.#answers.length}Z`,
      head_message_id: newest?.messageId ?? null,
      generation_id: newest?.status === 'running' ? newest.generationId : null,
    };
  }

  #pass({ method, url, headers }: IncomingMessage, body: Buffer, response: ServerResponse) {
    const { hostname, port } = this.#target;
    const passed = send({ hostname, port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    passed.end(body);
  }
}

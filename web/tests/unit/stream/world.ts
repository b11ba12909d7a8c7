import { setImmediate } from 'node:timers/promises';
import { expect } from 'vitest';
import type { ApiError, NetworkError } from '$/api/errors';
import {
  type AnswerSink,
  AnswerStream,
  type End,
  type Environment,
  type PartKind,
  type Phase,
  type Source,
  type Start,
} from '$/stream/answer_stream';
import type { DeviceEvent } from '$/stream/environment';

export const GENERATION = '0198c0de-0000-7000-8000-000000000001';

export type Asked =
  | { kind: 'ask' | 'continue' | 'retry'; key: string }
  | { kind: 'attach'; after: string | null };

const encoder = new TextEncoder();

interface Deferred {
  resolve(response: Response): void;
  reject(error: unknown): void;
}

/** One request of the stream under test, answered by the test. */
export class Link {
  readonly asked: Asked;
  readonly #signal: AbortSignal | undefined;
  readonly #settle: Deferred;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  state: 'waiting' | 'open' | 'gone' = 'waiting';

  constructor(asked: Asked, signal: AbortSignal | undefined, settle: Deferred) {
    this.asked = asked;
    this.#signal = signal;
    this.#settle = settle;
    signal?.addEventListener('abort', () => this.fail());
  }

  get aborted(): boolean {
    return this.#signal?.aborted ?? false;
  }

  get after(): string | null {
    return this.asked.kind === 'attach' ? this.asked.after : null;
  }

  accept(): this {
    if (this.state !== 'waiting') return this;
    this.state = 'open';
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    this.#settle.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }));
    return this;
  }

  nothing(): void {
    this.state = 'gone';
    this.#settle.resolve(new Response(null, { status: 204 }));
  }

  refuse(error: ApiError | NetworkError): void {
    this.state = 'gone';
    this.#settle.reject(error);
  }

  write(data: string | Uint8Array): this {
    if (this.state === 'open')
      this.#controller?.enqueue(typeof data === 'string' ? encoder.encode(data) : data);
    return this;
  }

  close(): void {
    if (this.state === 'open') this.#controller?.close();
    this.state = 'gone';
  }

  /** The connection breaks. */
  fail(): void {
    if (this.state === 'gone') return;
    const error = new TypeError('Load failed');
    if (this.state === 'open') this.#controller?.error(error);
    else this.#settle.reject(error);
    this.state = 'gone';
  }
}

/** Notes what the sink is told, and that nothing follows the last call. */
export class Recorder implements AnswerSink {
  /** What it says, and what the model thinks, apart. */
  text = '';
  thoughts = '';
  /** Both in the order in which they came: `text:Hello`, a part each. */
  parts: string[] = [];
  readonly calls: string[] = [];
  readonly phases: Phase[] = [];
  starts: Start[] = [];
  end: End | null = null;
  refusal: ApiError | NetworkError | null = null;
  gone = 0;
  finals = 0;

  #note(call: string): void {
    expect(this.finals, `${call} after the last call`).toBe(0);
    this.calls.push(call);
  }

  started(start: Start): void {
    this.#note('started');
    this.starts.push(start);
    this.text = '';
    this.thoughts = '';
    this.parts = [];
  }
  appended(kind: PartKind, text: string): void {
    this.#note('appended');
    expect(text).not.toBe('');
    if (kind === 'text') this.text += text;
    else this.thoughts += text;
    const last = this.parts.pop() ?? '';
    if (last.startsWith(`${kind}:`)) this.parts.push(last + text);
    else this.parts.push(...(last === '' ? [] : [last]), `${kind}:${text}`);
  }
  discarded(): void {
    this.#note('discarded');
    if (this.parts.at(-1)?.startsWith('reasoning:')) this.parts.pop();
    this.thoughts = this.parts
      .filter((part) => part.startsWith('reasoning:'))
      .map((part) => part.slice('reasoning:'.length))
      .join('');
  }
  phase(phase: Phase): void {
    this.#note(phase);
    this.phases.push(phase);
  }
  ended(end: End): void {
    this.#note('ended');
    this.finals += 1;
    this.end = end;
  }
  refused(error: ApiError | NetworkError): void {
    this.#note('refused');
    this.finals += 1;
    this.refusal = error;
  }
  lost(): void {
    this.#note('lost');
    this.finals += 1;
    this.gone += 1;
  }
}

interface Timer {
  at: number;
  run: () => void;
}

/** A device with a clock of its own, and the requests that were made from it. */
export class World {
  time = 1_000_000;
  chance: () => number = () => 0.5;
  visible = true;
  online = true;
  slots = 4;
  readonly links: Link[] = [];
  readonly #timers = new Set<Timer>();
  readonly #listeners = new Set<(event: DeviceEvent) => void>();
  /** Called for each request: a world of its own answers by itself. */
  onlink: (link: Link) => void = () => undefined;

  readonly environment: Environment = {
    ask: (_, { key, signal }) => this.#request({ kind: 'ask', key }, signal),
    continueAnswer: (_, { key, signal }) => this.#request({ kind: 'continue', key }, signal),
    retryAnswer: (_, __, { key, signal }) => this.#request({ kind: 'retry', key }, signal),
    attach: ({ after }, options) => this.#request({ kind: 'attach', after }, options?.signal),
    now: () => this.time,
    random: () => this.chance(),
    setTimer: (run, milliseconds) => {
      const timer = { at: this.time + milliseconds, run };
      this.#timers.add(timer);
      return () => this.#timers.delete(timer);
    },
    isVisible: () => this.visible,
    isOnline: () => this.online,
    listen: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
    claimSlot: async () => {
      if (this.slots === 0) return null;
      this.slots -= 1;
      return () => {
        this.slots += 1;
      };
    },
  };

  get listeners(): number {
    return this.#listeners.size;
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** The newest request. */
  get link(): Link {
    const link = this.links.at(-1);
    if (link === undefined) throw new Error('nothing was asked');
    return link;
  }

  open(source: Source, sink = new Recorder()): { stream: AnswerStream; sink: Recorder } {
    const stream = new AnswerStream(source, sink, this.environment);
    stream.open();
    return { stream, sink };
  }

  /** A stream whose answer has begun: `start` and "Hello " are there. */
  async begin(source: Source = SEND): Promise<{ stream: AnswerStream; sink: Recorder; link: Link }> {
    const { stream, sink } = this.open(source);
    await this.settle();
    const link = this.link.accept().write(frame(1, START) + frame(2, chunk('Hello ')));
    await this.settle();
    return { stream, sink, link };
  }

  device(event: DeviceEvent): void {
    if (event === 'visible' || event === 'hidden') this.visible = event === 'visible';
    if (event === 'online' || event === 'offline') this.online = event === 'online';
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** Lets everything run that waits for nothing but its turn. */
  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) await setImmediate();
  }

  /** Time passes, timers go off when they are due. */
  async pass(milliseconds: number): Promise<void> {
    await this.settle();
    const until = this.time + milliseconds;
    for (;;) {
      let next: Timer | null = null;
      for (const timer of this.#timers) {
        if (timer.at <= until && (next === null || timer.at < next.at)) next = timer;
      }
      if (next === null) break;
      this.#timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.run();
      await this.settle();
    }
    this.time = until;
  }

  /** The device sleeps: the clock goes on, the timers don't. They are due at once, late, on waking. */
  sleep(milliseconds: number): void {
    this.time += milliseconds;
  }

  /** Somebody corrects the clock: times go back, running timers take as long as before. */
  setBack(milliseconds: number): void {
    this.time -= milliseconds;
    for (const timer of this.#timers) timer.at -= milliseconds;
  }

  #request(asked: Asked, signal: AbortSignal | undefined): Promise<Response> {
    return new Promise((resolve, reject) => {
      const link = new Link(asked, signal, { resolve, reject });
      this.links.push(link);
      this.onlink(link);
    });
  }
}

/** One event as its bytes' text. */
export function frame(
  seq: number,
  payload: Record<string, unknown> | string,
  epoch = 1,
  generation = GENERATION,
): string {
  const data = typeof payload === 'string' ? payload : JSON.stringify(payload);
  return `id: ${generation}:${epoch}.${seq}\ndata: ${data}\n\n`;
}

export const START = {
  type: 'start',
  message: 'Starting response generation...',
  conversation_id: 'c1',
  generation_id: GENERATION,
  message_id: 'm1',
  model: 'local/tiny',
};
export const chunk = (content: string) => ({ type: 'chunk', content });
export const reasoning = (content: string) => ({ type: 'reasoning', content });
export const DISCARD = { type: 'resumed', epoch: 2, discard: 'reasoning' };
export const END = { type: 'end', message: 'Response completed', status: 'completed', finish_reason: 'stop' };
export const SEND: Source = { kind: 'send', body: { message: 'Hello' }, key: 'k1' };
export const attachFrom = (after: string | null): Source => ({
  kind: 'attach',
  generationId: GENERATION,
  after,
});

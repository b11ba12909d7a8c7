import { ApiError, NetworkError } from '$/api/errors';
import { chunk, DISCARD, END, frame, type Link, type Recorder, reasoning, START, type World } from './world';

/** Small, fast, seeded (mulberry32): the same seed is the same run. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Entry {
  epoch: number;
  frame: string;
  text: string;
}

/** A link's own view: what is still to be sent on it. */
interface Line {
  link: Link;
  next: number;
  pending: Uint8Array;
}

const WORDS = [
  'a',
  'Wort ',
  'naïve ',
  '你好',
  '👩‍🚀',
  '\n\n',
  '\r\n',
  '"',
  '\\u0041',
  ' ',
  'data: x\n\n',
  '🇩🇪',
];
const encoder = new TextEncoder();

/**
 * A server with a log, behind a network that does what networks do, all decided by one seed.
 *
 * What it never does: lose or change an event of the log, or put two of them in another order. The
 * paths to its readers do all of that.
 */
export class FaultyServer {
  readonly #world: World;
  readonly #chance: () => number;
  readonly #sink: Recorder;
  #log: Entry[] = [];
  #epoch = 1;
  #lines: Line[] = [];
  /** Every text that a log of this generation had: a power loss makes an older one the past. */
  readonly #texts: string[] = [''];
  /** What the sink had at the last sabotage: one that repeats without progress is final by design. */
  #sabotagedAt = '';
  readonly acts = new Map<string, number>();

  constructor(world: World, sink: Recorder, chance: () => number) {
    this.#world = world;
    this.#sink = sink;
    this.#chance = chance;
    world.onlink = (link) => this.#lines.push({ link, next: 0, pending: new Uint8Array() });
  }

  get text(): string {
    return this.#texts.at(-1) ?? '';
  }

  /** What the log's thoughts come to, parts in order, as {@link Recorder} notes them. */
  get parts(): string[] {
    const parts: string[] = [];
    for (const { frame } of this.#log) {
      const event = JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as Record<string, string>;
      const { type, content = '' } = event;
      if (event.discard && parts.at(-1)?.startsWith('reasoning:')) parts.pop();
      if (type !== 'chunk' && type !== 'reasoning') continue;
      const kind = type === 'chunk' ? 'text:' : 'reasoning:';
      if (parts.at(-1)?.startsWith(kind)) parts.push(`${parts.pop()}${content}`);
      else parts.push(kind + content);
    }
    return parts;
  }

  /** Whether some log of this generation begins with the text. */
  knows(text: string): boolean {
    return this.#texts.some((whole) => whole.startsWith(text));
  }

  #below(limit: number): number {
    return Math.floor(this.#chance() * limit);
  }

  #append(payload: Record<string, unknown>, text = ''): void {
    this.#log.push({ epoch: this.#epoch, frame: frame(this.#log.length + 1, payload, this.#epoch), text });
    const last = this.#texts.length - 1;
    this.#texts[last] = (this.#texts[last] ?? '') + text;
  }

  /** The request is stored, whether its sender ever learns of it or not. */
  #accept(): void {
    if (this.#log.length === 0) this.#append(START);
  }

  /** The first event that a reader with this cursor gets; the whole log for a cursor that it doesn't have. */
  #position(after: string | null): number {
    const [epoch, seq] = (after ?? '0.0').split('.').map(Number);
    return this.#log[(seq ?? 0) - 1]?.epoch === epoch ? (seq ?? 0) : 0;
  }

  #live(): Line[] {
    this.#lines = this.#lines.filter((line) => line.link.state !== 'gone');
    return this.#lines;
  }

  #some(state: Link['state']): Line | undefined {
    const lines = this.#live().filter((line) => line.link.state === state);
    return lines[this.#below(lines.length)];
  }

  #open(line: Line): void {
    this.#accept();
    line.next = this.#position(line.link.after);
    line.link.accept();
  }

  #fill(line: Line): void {
    const bytes = encoder.encode(
      this.#log
        .slice(line.next)
        .map((entry) => entry.frame)
        .join(''),
    );
    line.next = this.#log.length;
    const joined = new Uint8Array(line.pending.length + bytes.length);
    joined.set(line.pending);
    joined.set(bytes, line.pending.length);
    line.pending = joined;
  }

  /** Sends so many of the bytes that are due, cut wherever they are. */
  #send(line: Line, bytes: number): void {
    if (bytes > 0) line.link.write(line.pending.slice(0, bytes));
    line.pending = line.pending.slice(bytes);
  }

  #cutAll(): void {
    for (const { link } of this.#live()) link.fail();
  }

  readonly #acts: Record<string, () => unknown> = {
    write: () => {
      if (this.#log.length === 0) return;
      for (let n = this.#below(4); n >= 0; n--) {
        const word = WORDS[this.#below(WORDS.length)] ?? '';
        this.#append(chunk(word), word);
      }
    },
    think: () => {
      if (this.#log.length === 0) return;
      for (let n = this.#below(4); n >= 0; n--) this.#append(reasoning(`${this.#log.length} `));
    },
    novelty: () =>
      this.#log.length > 0 && this.#append({ type: 'notice', content: 'unknown to this client' }),
    answer: () => {
      const line = this.#some('waiting');
      if (line !== undefined) this.#open(line);
    },
    deliver: () => {
      const line = this.#some('open');
      if (line === undefined) return;
      this.#fill(line);
      this.#send(line, this.#below(line.pending.length + 1));
    },
    heartbeat: () => {
      const line = this.#some('open');
      if (line?.pending.length === 0) line.link.write(': heartbeat\n\n');
    },
    repeat: () => {
      const line = this.#some('open');
      if (line !== undefined && line.pending.length === 0)
        line.next = Math.max(0, line.next - this.#below(4));
    },
    cut: () => this.#some('open')?.link.fail(),
    end: () => this.#some('open')?.link.close(),
    // The question arrives, its answer does not; or neither does.
    swallow: () => {
      if (this.#chance() < 0.5) this.#accept();
      this.#some('waiting')?.link.fail();
    },
    unreachable: () => this.#some('waiting')?.link.refuse(new NetworkError('refused')),
    gateway: () => this.#some('waiting')?.link.refuse(new ApiError(502, '<html>')),
    later: () => {
      const line = this.#some('waiting');
      if (line === undefined) return;
      // A new question that is told "later" too often is refused, rightly: that is tested elsewhere.
      if (line.link.after === null && this.#log.length === 0) return;
      this.#accept();
      if (line.link.asked.kind === 'attach')
        line.link.refuse(new ApiError(503, { code: 'draining' }, this.#below(4)));
      else line.link.accept().write('retry: 2000\n\n').close();
    },
    empty: () => {
      const line = this.#some('waiting');
      if (line?.link.asked.kind === 'attach') line.link.accept().write('retry: 5000\n\n').close();
    },
    restart: () => {
      this.#cutAll();
      this.#resume();
    },
    askAgain: () => {
      this.#cutAll();
      if (this.#log.length === 0) return;
      this.#epoch += 1;
      this.#append({ ...DISCARD, epoch: this.#epoch });
    },
    powerLoss: () => {
      this.#cutAll();
      if (this.#log.length === 0) return;
      this.#log = this.#log.slice(0, Math.max(1, this.#log.length - this.#below(5)));
      this.#texts.push(this.#log.map((entry) => entry.text).join(''));
      this.#resume();
    },
    gap: () =>
      this.#sabotage((line) => {
        if (line.pending.length === 0) line.next = Math.min(this.#log.length, line.next + 1);
      }),
    damage: () =>
      this.#sabotage((line) => {
        if (line.pending.length === 0) line.link.write(frame(line.next + 1, '{"type": "chu', this.#epoch));
      }),
    sleep: () => this.#world.sleep(this.#below(90_000)),
    wait: () => this.#world.pass(this.#below(5_000)),
    waitLong: () => this.#world.pass(this.#below(60_000)),
    hide: () => this.#world.device('hidden'),
    look: () => this.#world.device('visible'),
    offline: () => this.#world.device('offline'),
    online: () => this.#world.device('online'),
    crowd: () => {
      this.#world.slots = 0;
    },
    room: () => {
      this.#world.slots = 4;
    },
  };

  #resume(): void {
    if (this.#log.length === 0) return;
    this.#epoch += 1;
    this.#append({ type: 'resumed', epoch: this.#epoch });
  }

  #sabotage(act: (line: Line) => void): void {
    const line = this.#some('open');
    if (line === undefined || this.#sink.text.length <= this.#sabotagedAt.length) return;
    this.#sabotagedAt = this.#sink.text;
    act(line);
  }

  /** One thing happens. */
  async act(): Promise<void> {
    const names = ['write', 'write', 'answer', 'answer', 'deliver', 'deliver', 'deliver', 'wait', 'wait'];
    names.push(...Object.keys(this.#acts));
    const name = names[this.#below(names.length)] ?? 'wait';
    this.acts.set(name, (this.acts.get(name) ?? 0) + 1);
    await this.#acts[name]?.();
    await this.#world.settle();
  }

  /** The faults are over and the model finishes: every reader gets what is left. */
  async heal(): Promise<void> {
    this.#accept();
    this.#append(chunk('fin'), 'fin');
    this.#append(END);
    this.#world.slots = 4;
    this.#world.device('online');
    this.#world.device('visible');
    for (let i = 0; i < 60 && this.#sink.finals === 0; i++) {
      for (const line of this.#live()) {
        if (line.link.state === 'waiting') this.#open(line);
        this.#fill(line);
        this.#send(line, line.pending.length);
      }
      await this.#world.pass(2_000);
    }
  }
}

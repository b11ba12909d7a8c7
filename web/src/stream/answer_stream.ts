import { connection as server } from '$/api/connection.svelte';
import { ApiError, NetworkError } from '$/api/errors';
import { type RawEvent, readEvents, UnreadableStream } from '$/api/sse';
import { browser, type DeviceEvent, type Environment } from './environment';
import type { Release } from './slots';
import { type Aim, type Effect, type Input, initialState, type State } from './state';
import { dueAt, transition } from './transition';
import type { AnswerSink, Source } from './types';

export type { Environment } from './environment';
export type { AnswerSink, End, PartKind, Phase, Source, Start } from './types';

/**
 * An answer on its way to a sink, whatever becomes of the connection.
 *
 * The sink gets the log's events in order, each once: through reloads, sleep, lost networks,
 * restarts of the server and several readers of one answer. It does what {@link transition} says
 * and decides nothing itself.
 */
export class AnswerStream {
  #state: State;
  readonly #sink: AnswerSink;
  readonly #environment: Environment;
  /** Inputs that came while another one was worked on: a sink may detach from inside a call. */
  readonly #inputs: Input[] = [];
  #working = false;
  /** What the sink has not heard because it detached in the middle: the log's place is past it already. */
  readonly #untold: Effect[] = [];
  #detached = true;
  #connection: AbortController | null = null;
  /** The claim that counts; a slot that comes for an older one goes straight back. */
  #claim = 0;
  #release: Release | null = null;
  #cancelAlarm: (() => void) | null = null;
  #alarmAt = Number.POSITIVE_INFINITY;
  #unlisten: (() => void) | null = null;

  constructor(source: Source, sink: AnswerSink, environment: Partial<Environment> = {}) {
    // A request that is sent again must be the same to the byte, or its key does not know it.
    this.#state = initialState(JSON.parse(JSON.stringify(source)) as Source);
    this.#sink = sink;
    this.#environment = { ...browser, ...environment };
  }

  /** Null until a request is accepted. */
  get generationId(): string | null {
    return this.#state.generationId;
  }

  /** Connects. After a detach, or after a new sign-in, it goes on where it was. */
  open(): void {
    this.#detached = false;
    for (let next = this.#untold.shift(); next !== undefined; next = this.#untold.shift())
      this.#perform(next);
    if (this.#state.step === 'over') return;
    const { isVisible, isOnline, listen } = this.#environment;
    this.#unlisten ??= listen((event) => this.#device(event));
    this.#take({ type: 'open', visible: isVisible(), online: isOnline() });
  }

  /** Lets go of the connection: the sink hears nothing more. The answer itself goes on. */
  detach(): void {
    this.#detached = true;
    this.#take({ type: 'detach' });
  }

  #device(event: DeviceEvent): void {
    this.#take({ type: event });
  }

  #take(input: Input): void {
    this.#inputs.push(input);
    if (this.#working) return;
    this.#working = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) this.#step(next);
    } finally {
      this.#working = false;
    }
    this.#arm();
  }

  #step(input: Input): void {
    const now = this.#environment.now();
    const late = Math.max(0, now - this.#alarmAt);
    const { state, effects } = transition(this.#state, input, {
      now,
      late,
      random: this.#environment.random(),
    });
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    if (state.step === 'closed' || state.step === 'over') {
      this.#unlisten?.();
      this.#unlisten = null;
    }
  }

  #perform(effect: Effect): void {
    switch (effect.do) {
      case 'connect':
        void this.#connect(effect.connection, effect.aim);
        return;
      case 'disconnect':
        this.#connection?.abort();
        this.#connection = null;
        return;
      case 'claim':
        void this.#claimSlot();
        return;
      case 'release':
        this.#claim += 1;
        this.#release?.();
        this.#release = null;
        return;
      default:
        if (this.#detached) this.#untold.push(effect);
        else this.#tell(effect);
    }
  }

  #tell(effect: Effect): void {
    const sink = this.#sink;
    try {
      if (effect.do === 'append') sink.appended(effect.kind, effect.text);
      else if (effect.do === 'discard') sink.discarded();
      else if (effect.do === 'phase') sink.phase(effect.phase);
      else if (effect.do === 'start') sink.started(effect.start);
      else if (effect.do === 'end') sink.ended(effect.end);
      else if (effect.do === 'refuse') sink.refused(effect.error);
      else if (effect.do === 'lose') sink.lost();
    } catch (error) {
      // A fault of the sink is reported as one, and must not stop the stream.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  async #connect(connection: number, aim: Aim): Promise<void> {
    const abort = new AbortController();
    this.#connection = abort;
    try {
      const response = await this.#request(aim, abort.signal);
      const { body } = response;
      const found = response.status !== 204 && body !== null;
      this.#take({ type: 'answered', connection, found });
      if (!found) return;
      const retry = await this.#read(connection, body);
      this.#take({ type: 'closed', connection, retry });
    } catch (error) {
      // A connection that we let go of ourselves ends here too: its number is no longer the newest.
      if (error instanceof UnreadableStream) this.#take({ type: 'garbled', connection });
      else this.#take({ type: 'failed', connection, error: known(error) });
    } finally {
      // Nothing more is wanted of it: an answer's connection is closed at its last event.
      abort.abort();
    }
  }

  #request(aim: Aim, signal: AbortSignal): Promise<Response> {
    const { ask, continueAnswer, retryAnswer, attach } = this.#environment;
    const { source } = this.#state;
    if (aim.kind === 'attach')
      return attach({ generationId: aim.generationId, after: aim.after }, { signal });
    switch (source.kind) {
      case 'send':
        return ask(source.body, { key: source.key, signal });
      case 'continue':
        return continueAnswer(source.generationId, { key: source.key, signal });
      case 'retry':
        return retryAnswer(source.generationId, source.body ?? {}, { key: source.key, signal });
      case 'attach':
        return attach({ generationId: source.generationId, after: null }, { signal });
    }
  }

  /** Reads to the body's end; gives back how long the server asked to wait, in milliseconds. */
  async #read(connection: number, body: ReadableStream<Uint8Array>): Promise<number> {
    let events: RawEvent[] = [];
    let alive = false;
    let retry = 0;
    await readEvents(body, {
      onEvent: (event) => {
        events.push(event);
      },
      onBeat: () => {
        alive = true;
      },
      onRetry: (milliseconds) => {
        retry = milliseconds;
      },
      onRead: () => {
        server.heard();
        // A body that says only when to come back is no sign of an answer.
        if (events.length === 0 && !alive && retry > 0) return;
        const batch = events;
        events = [];
        alive = false;
        this.#take({ type: 'read', connection, events: batch });
      },
    });
    return retry;
  }

  async #claimSlot(): Promise<void> {
    this.#claim += 1;
    const claim = this.#claim;
    const release = await this.#environment.claimSlot();
    if (claim !== this.#claim) {
      release?.();
      return;
    }
    this.#release = release;
    this.#take({ type: 'slot', granted: release !== null });
  }

  /** Sets the alarm, if an earlier one than the armed is due: a busy stream leaves its timer alone. */
  #arm(): void {
    const due = dueAt(this.#state);
    if (due === null) {
      this.#cancelAlarm?.();
      this.#cancelAlarm = null;
      this.#alarmAt = Number.POSITIVE_INFINITY;
      return;
    }
    const { now, setTimer } = this.#environment;
    const at = now();
    // One that is overdue belongs to a device that slept, or to a page whose timers are throttled.
    if (this.#cancelAlarm !== null && this.#alarmAt <= due && this.#alarmAt >= at) return;
    this.#cancelAlarm?.();
    this.#alarmAt = due;
    this.#cancelAlarm = setTimer(() => this.#ring(), Math.max(0, due - at));
  }

  #ring(): void {
    this.#cancelAlarm = null;
    this.#take({ type: 'alarm' });
  }
}

/** Any fault of a read that is not ours is a lost connection, whatever the browser calls it. */
function known(error: unknown): ApiError | NetworkError {
  if (error instanceof ApiError || error instanceof NetworkError) return error;
  return new NetworkError('the connection was lost', { cause: error });
}

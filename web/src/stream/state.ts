import type { ApiError, NetworkError } from '$/api/errors';
import type { RawEvent } from '$/api/sse';
import { type Cursor, parsePlace } from './cursor';
import type { End, PartKind, Phase, Source, Start } from './types';

/** Milliseconds. */
export const TIMING = {
  /** The server's heartbeat. */
  heartbeat: 15_000,
  /** Without a byte for so long, a heartbeat is missing: a new attach finds out what became of the answer. */
  missed: 17_000,
  /** Without a byte for so long, the reader is told. */
  quiet: 20_000,
  /** Without a byte for so long, the connection is given up: two heartbeats were missed. */
  dead: 32_000,
  /** A timer that fires so much too late slept with its device. */
  asleep: 5_000,
  /** The server answers in milliseconds; what takes so long is held back on the way. */
  held: 6_000,
  /** Silence before a lump, for it to be suspicious; and so many events make a lump. */
  lumpSilence: 3_000,
  lumpEvents: 8,
  /** Reads closer together than this are one delivery. */
  delivery: 100,
  /** A hidden tab gives its slot back after this. */
  hidden: 30_000,
  /** A stream without a slot: how long a connection stays open without news, and with; and the pause to the next. */
  brief: 250,
  briefMost: 500,
  poll: 1_000,
  pollHidden: 10_000,
  /** An answered attach counts as connected after this, even if the model says nothing. */
  settle: 300,
  /** A connection that is back sooner than this was never lost, as far as people are concerned. */
  notice: 1_000,
} as const;

/** How often the same thing may go wrong with no progress in between before it is final. */
export const PATIENCE = {
  /** Refusals of a new question that say "later". */
  later: 3,
  /** Refusals by something before the server, or by faults of the server. */
  broken: 5,
  /** Malformed events at one place. */
  garbled: 2,
  /** Gaps at one place: attach again, attach again, ask for the whole answer, give up. */
  gapReplay: 3,
  gap: 4,
} as const;

/** Most seconds of Retry-After that a new question waits by itself; else its author decides. */
export const LATER_AT_MOST = 10;

/**
 * `closed`: not opened, detached, or signed out. `pausing`: between two connections. `over`: the
 * sink has had its last call.
 */
export type Step = 'closed' | 'connecting' | 'connected' | 'pausing' | 'over';

/** Where a stream stands: all of it, so that what happens next is a function of this and the input. */
export interface State {
  readonly source: Source;
  readonly step: Step;
  /** Number of the newest connection: what an older one still says is ignored. */
  readonly connection: number;
  /** Null until the request is accepted. */
  readonly generationId: string | null;
  /** The newest event that the sink has had; null before the first. */
  readonly last: Cursor | null;
  /** Whether anything of the answer has come, if only what the model thinks. */
  readonly hasWords: boolean;
  /** The next attach asks for the whole answer. */
  readonly replay: boolean;
  /** A request was lost on the way: it may have been accepted. */
  readonly unsure: boolean;

  /** In a row, without a new event in between. */
  readonly failures: number;
  readonly refusals: number;
  readonly faults: number;
  /** Newest place after which the stream was unreadable. */
  readonly faultAt: Cursor;

  readonly slot: 'none' | 'asked' | 'held';
  /** The connection only fetches what is there: there is no slot for a live one. */
  readonly brief: boolean;

  readonly openedAt: number;
  readonly heardAt: number;
  readonly pausedUntil: number;
  /** Since when there has been no connection that works; null while there is one. */
  readonly lostAt: number | null;
  /** Whether an event has come on this connection, and whether the first one must come at once. */
  readonly heard: boolean;
  readonly prompt: boolean;
  /** How much speaks for a delivery in lumps; 2 and more is proof. */
  readonly lumps: number;

  readonly visible: boolean;
  readonly hiddenAt: number;
  readonly online: boolean;
  readonly phase: Phase | null;
}

/** What happened. `connection` says on which one. */
export type Input =
  | { type: 'open'; visible: boolean; online: boolean }
  | { type: 'detach' }
  | { type: 'slot'; granted: boolean }
  | { type: 'answered'; connection: number; found: boolean }
  | { type: 'read'; connection: number; events: readonly RawEvent[] }
  /** The body ended; `retry` is what it asked for, in milliseconds, 0 if nothing. */
  | { type: 'closed'; connection: number; retry: number }
  | { type: 'failed'; connection: number; error: ApiError | NetworkError }
  | { type: 'garbled'; connection: number }
  | { type: 'alarm' }
  | { type: 'visible' }
  | { type: 'hidden' }
  | { type: 'online' }
  | { type: 'offline' }
  | { type: 'restored' };

/** When it happened, and the chance of that moment. `late`: by how much the alarm that was set is overdue. */
export interface Moment {
  readonly now: number;
  readonly random: number;
  readonly late: number;
}

/** The request of a connection: the source's own, or an attach to what came of it. */
export type Aim = { kind: 'ask' } | { kind: 'attach'; generationId: string; after: string | null };

/** What is to be done, in this order. */
export type Effect =
  | { do: 'connect'; connection: number; aim: Aim }
  | { do: 'disconnect' }
  | { do: 'claim' }
  | { do: 'release' }
  | { do: 'start'; start: Start }
  | { do: 'append'; kind: PartKind; text: string }
  | { do: 'discard' }
  | { do: 'phase'; phase: Phase }
  | { do: 'end'; end: End }
  | { do: 'refuse'; error: ApiError | NetworkError }
  | { do: 'lose' };

export function initialState(source: Source): State {
  const last = source.kind === 'attach' && source.after !== null ? parsePlace(source.after) : null;
  return {
    source,
    step: 'closed',
    connection: 0,
    generationId: source.kind === 'attach' ? source.generationId : null,
    last,
    // The first event is a `start`: whoever has only that has no words.
    hasWords: last !== null && last.seq > 1,
    replay: false,
    unsure: false,
    failures: 0,
    refusals: 0,
    faults: 0,
    faultAt: { epoch: -1, seq: 0 },
    slot: 'none',
    brief: false,
    openedAt: 0,
    heardAt: 0,
    pausedUntil: 0,
    lostAt: null,
    heard: false,
    prompt: false,
    lumps: 0,
    visible: true,
    hiddenAt: 0,
    online: true,
    phase: null,
  };
}

/** More time for a long question on a slow line: 8 characters a millisecond. */
export function uploadAllowance(state: State): number {
  return state.generationId === null && state.source.kind === 'send'
    ? state.source.body.message.length / 8
    : 0;
}

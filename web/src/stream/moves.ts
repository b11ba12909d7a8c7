import { backoff } from '$/lib/backoff';
import { formatCursor } from './cursor';
import { type Effect, type Moment, type State, TIMING } from './state';
import type { Phase } from './types';

/** The state that comes next, in the making: a transition changes a copy of its own. */
type NextState = { -readonly [Key in keyof State]: State[Key] };

/** One transition at work: the state in the making, the moment, and what is to be done. */
export interface Work {
  readonly s: NextState;
  readonly at: Moment;
  readonly effects: Effect[];
}

/** What the phase is when nothing is wrong. */
export function plainPhase(s: State): Phase {
  if (s.generationId === null) return 'sending';
  return s.hasWords ? 'streaming' : 'waiting';
}

export function show({ s, effects }: Work, phase: Phase): void {
  if (s.phase === phase) return;
  s.phase = phase;
  effects.push({ do: 'phase', phase });
}

export function connect({ s, at, effects }: Work): void {
  s.connection += 1;
  s.step = 'connecting';
  s.openedAt = s.heardAt = at.now;
  s.heard = false;
  if (s.visible && s.slot === 'none') {
    s.slot = 'asked';
    effects.push({ do: 'claim' });
  }
  // Until the answer about the slot is here the connection counts as a live one.
  s.brief = s.slot === 'none';
  const { connection, generationId } = s;
  if (generationId === null) {
    s.prompt = true;
    effects.push({ do: 'connect', connection, aim: { kind: 'ask' } });
    return;
  }
  const after = s.replay || s.last === null ? null : formatCursor(s.last);
  s.prompt = after === null;
  effects.push({ do: 'connect', connection, aim: { kind: 'attach', generationId, after } });
}

export function disconnect({ s, effects }: Work): void {
  if (s.step !== 'connecting' && s.step !== 'connected') return;
  s.step = 'closed';
  // Whatever the old connection still says is of the past.
  s.connection += 1;
  effects.push({ do: 'disconnect' });
}

export function release({ s, effects }: Work): void {
  if (s.slot === 'none') return;
  s.slot = 'none';
  effects.push({ do: 'release' });
}

/** Nothing is wrong, there is only no slot: looks again in a while. */
export function poll(work: Work, pause: number): void {
  disconnect(work);
  work.s.step = 'pausing';
  work.s.pausedUntil = work.at.now + pause;
}

/** The connection is lost, or was refused for now: comes back later. `asked` is what the server asked for, in milliseconds. */
export function comeBack(work: Work, asked = 0): void {
  const { s, at } = work;
  disconnect(work);
  s.step = 'pausing';
  s.pausedUntil = at.now + backoff(s.failures, at.random, asked);
  s.failures += 1;
  s.lumps = 0;
  s.lostAt ??= at.now;
}

/** When people are told that the connection is lost; never, while there seems to be one or they know. */
export function noticeAt(s: State): number {
  const known = s.phase === 'reconnecting' || s.phase === 'offline';
  if (s.lostAt === null || s.step === 'connected' || known) return Number.POSITIVE_INFINITY;
  return s.lostAt + TIMING.notice;
}

/** The sink's last call is made: nothing follows. */
export function finish(work: Work, last: Effect): void {
  disconnect(work);
  release(work);
  work.s.step = 'over';
  work.effects.push(last);
}

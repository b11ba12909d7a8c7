/**
 * How a stream goes on: a pure function of where it stands and what happened.
 *
 * The answer belongs to the server; a connection only shows it. So every fault has one remedy:
 * connect again and go on after the newest event that the sink has had. A request that is not known
 * to be accepted is sent again with its own key, which the server carries out once.
 */
import {
  comeBack,
  connect,
  disconnect,
  finish,
  noticeAt,
  plainPhase,
  poll,
  release,
  show,
  type Work,
} from './moves';
import { fault, receive } from './receive';
import { failed } from './refusal';
import { type Effect, type Input, type Moment, type State, TIMING, uploadAllowance } from './state';

export interface Transition {
  state: State;
  effects: readonly Effect[];
}

export function transition(state: State, input: Input, at: Moment): Transition {
  if (state.step === 'over') return { state, effects: [] };
  // What an abandoned connection still says.
  if ('connection' in input && input.connection !== state.connection) return { state, effects: [] };
  const work: Work = { s: { ...state }, at, effects: [] };
  rebase(work);
  apply(work, input);
  return { state: work.s, effects: work.effects };
}

function apply(work: Work, input: Input): void {
  const { s, at } = work;
  switch (input.type) {
    case 'open':
      if (s.step !== 'closed') return;
      s.visible = input.visible;
      s.hiddenAt = at.now;
      s.online = input.online;
      s.failures = 0;
      s.lostAt = null;
      show(work, plainPhase(s));
      connect(work);
      return;
    case 'detach':
      disconnect(work);
      release(work);
      s.step = 'closed';
      return;
    case 'slot':
      if (s.slot !== 'asked') return;
      s.slot = input.granted ? 'held' : 'none';
      s.brief = !input.granted;
      return;
    case 'answered':
      answered(work, input.found);
      return;
    case 'read':
      receive(work, input.events);
      return;
    case 'closed':
      if (s.generationId === null) s.unsure = true;
      comeBack(work, input.retry);
      return;
    case 'failed':
      failed(work, input.error);
      return;
    case 'garbled':
      fault(work, 'garbled');
      return;
    case 'alarm':
      alarm(work);
      return;
    case 'visible':
      s.visible = true;
      wake(work);
      return;
    case 'restored':
      wake(work);
      return;
    case 'online':
      s.online = true;
      if (s.phase === 'offline') show(work, 'reconnecting');
      wake(work);
      return;
    case 'hidden':
      if (s.visible) s.hiddenAt = at.now;
      s.visible = false;
      return;
    case 'offline':
      s.online = false;
      // A server on this machine goes on without a network: only a failing connection is offline.
      if (s.phase === 'reconnecting') show(work, 'offline');
  }
}

/** A clock that was set back must not stop the timers until it has caught up. */
function rebase({ s, at }: Work): void {
  if (s.lostAt !== null) s.lostAt = Math.min(s.lostAt, at.now);
  if (at.now >= s.heardAt) return;
  const back = s.heardAt - at.now;
  s.heardAt = at.now;
  s.openedAt -= back;
  s.hiddenAt -= back;
  s.pausedUntil -= back;
}

function answered(work: Work, found: boolean): void {
  const { s, at } = work;
  if (!found) {
    if (s.generationId === null) fault(work, 'garbled');
    else finish(work, { do: 'lose' });
    return;
  }
  s.step = 'connected';
  s.heardAt = at.now;
}

/** Somebody looks, or the device is back: no use in waiting any longer. */
function wake(work: Work): void {
  const { s, at } = work;
  if (s.step === 'pausing') {
    s.failures = 0;
    connect(work);
    return;
  }
  if (s.step !== 'connecting' && s.step !== 'connected') return;
  const silence = at.now - s.heardAt;
  const slept = at.late >= TIMING.asleep && silence >= TIMING.asleep;
  if (silence >= 2 * TIMING.heartbeat || slept) {
    reconnect(work);
  } else if (s.visible && s.slot === 'none') {
    // It polled while hidden; this connection may stay.
    s.slot = 'asked';
    s.brief = false;
    work.effects.push({ do: 'claim' });
  }
}

/** The connection is of another time: a new one, without a pause. */
function reconnect(work: Work): void {
  if (work.s.generationId === null) work.s.unsure = true;
  disconnect(work);
  connect(work);
}

/** A heartbeat is missing. The next byte, or an answer to the attach, is still due when it was. */
function renew(work: Work): void {
  const { s, at } = work;
  const heardAt = Math.max(s.heardAt, at.now - TIMING.missed);
  reconnect(work);
  s.heardAt = heardAt;
  s.failures = Math.max(1, s.failures);
}

function alarm(work: Work): void {
  const { s, at } = work;
  if (at.now >= noticeAt(s)) show(work, s.online ? 'reconnecting' : 'offline');
  if (s.step === 'pausing') {
    if (at.now >= s.pausedUntil) connect(work);
    return;
  }
  if (s.step !== 'connecting' && s.step !== 'connected') return;
  if (!s.visible && s.slot !== 'none' && at.now - s.hiddenAt >= TIMING.hidden) {
    release(work);
    s.brief = true;
  }
  const silence = at.now - s.heardAt;
  if (at.now >= briefUntil(s)) {
    s.lostAt = null;
    show(work, plainPhase(s));
    poll(work, s.visible ? TIMING.poll : TIMING.pollHidden);
    return;
  }
  const allowance = uploadAllowance(s);
  if (silence >= TIMING.quiet + allowance && at.late >= TIMING.asleep) {
    reconnect(work);
    return;
  }
  if (silence >= TIMING.dead + allowance) {
    if (s.generationId === null) s.unsure = true;
    comeBack(work);
    return;
  }
  if (mayMiss(s) && silence >= TIMING.missed) {
    renew(work);
    return;
  }
  if (awaitsFirst(s) && at.now - s.openedAt >= TIMING.held + allowance) show(work, 'held');
  if (mayFallQuiet(s) && silence >= TIMING.quiet + allowance) show(work, 'quiet');
  if (settles(s) && silence >= TIMING.settle) {
    s.lostAt = null;
    show(work, plainPhase(s));
  }
}

/** Whether heartbeats are due on this connection. */
function mayMiss(s: State): boolean {
  return s.step === 'connected' && s.generationId !== null;
}

/**
 * Whether an answer is due that the server gives at once: its headers always, and the first event
 * of a connection that asked for the whole answer. Six seconds without it are evidence of a proxy
 * that collects the body (see also `weigh` for one that hands it on in lumps). After a failure the
 * server may just be away.
 *
 * The remedy is the ordinary one. A proxy that collects a whole body hands nothing on when we give
 * the connection up, so short attaches would bring nothing; but every reconnection asks again, and
 * the first one after the answer's end gets a body that is complete, which every proxy lets pass.
 */
function awaitsFirst(s: State): boolean {
  return s.failures === 0 && s.lostAt === null && (s.step === 'connecting' || (s.prompt && !s.heard));
}

/** Whether silence would be news: of a lost connection nobody expects anything else. */
function mayFallQuiet(s: State): boolean {
  return s.phase !== 'quiet' && s.phase !== 'held' && s.lostAt === null;
}

function settles(s: State): boolean {
  return s.step === 'connected' && s.lostAt !== null;
}

/** When a connection without a slot has brought what there was; never, for any other. */
function briefUntil(s: State): number {
  if (!s.brief || s.generationId === null || s.step !== 'connected') return Number.POSITIVE_INFINITY;
  const silent = s.heardAt + TIMING.brief;
  return s.heard ? Math.min(silent, Math.max(s.heardAt, s.openedAt + TIMING.briefMost)) : silent;
}

/** When the state wants an `alarm`, on the clock of its moments; null if only news can move it. */
export function dueAt(s: State): number | null {
  if (s.step === 'pausing') return Math.min(s.pausedUntil, noticeAt(s));
  if (s.step !== 'connecting' && s.step !== 'connected') return null;
  const allowance = uploadAllowance(s);
  let due = Math.min(s.heardAt + TIMING.dead + allowance, noticeAt(s));
  if (mayMiss(s)) due = Math.min(due, s.heardAt + TIMING.missed);
  if (mayFallQuiet(s)) due = Math.min(due, s.heardAt + TIMING.quiet + allowance);
  if (awaitsFirst(s) && s.phase !== 'held') due = Math.min(due, s.openedAt + TIMING.held + allowance);
  if (!s.visible && s.slot !== 'none') due = Math.min(due, s.hiddenAt + TIMING.hidden);
  due = Math.min(due, briefUntil(s));
  if (settles(s)) due = Math.min(due, s.heardAt + TIMING.settle);
  return due;
}

import { NetworkError } from '$/api/errors';
import type { RawEvent } from '$/api/sse';
import { type Cursor, parseEventId } from './cursor';
import { comeBack, disconnect, finish, plainPhase, show, type Work } from './moves';
import { parsePayload } from './payload';
import { PATIENCE, TIMING } from './state';
import type { PartKind } from './types';

/**
 * Takes in what one read brought.
 *
 * **Invariant:** after it, the sink has had exactly the log's events up to `last`, each once. An
 * event is taken only if it is the next one; one that the sink has had is dropped; anything else
 * (a gap, another log, an event of an overtaken lease) ends the connection, and the log is asked
 * again. A `start` that opens a connection means that the whole answer follows.
 */
export function receive(work: Work, events: readonly RawEvent[]): void {
  const { s, at, effects } = work;
  const silence = at.now - s.heardAt;
  const opening = !s.heard;
  s.heardAt = at.now;
  s.lostAt = null;
  let kind: PartKind = 'text';
  let text = '';
  let taken = 0;
  const flush = () => {
    if (text === '') return;
    s.hasWords = true;
    effects.push({ do: 'append', kind, text });
    text = '';
  };
  for (const event of events) {
    const id = parseEventId(event.id);
    const first = !s.heard;
    s.heard = true;
    if (id === null || (s.generationId !== null && id.generation !== s.generationId)) {
      flush();
      fault(work, 'garbled');
      return;
    }
    const order = compare(id, s.last);
    if (order === 'known' && !first) continue;
    if (order === 'astray' && !first) {
      flush();
      fault(work, 'gap');
      return;
    }
    const payload = parsePayload(event.data);
    if (payload === null) {
      flush();
      fault(work, 'garbled');
      return;
    }
    if (payload.type !== 'start') {
      if (order === 'known') continue;
      if (order === 'astray') {
        fault(work, 'gap');
        return;
      }
    }
    s.last = { epoch: id.epoch, seq: id.seq };
    taken += 1;
    switch (payload.type) {
      case 'words':
        if (payload.kind !== kind) {
          flush();
          kind = payload.kind;
        }
        text += payload.text;
        break;
      case 'discard':
        // What this read brought of it need not be shown first.
        if (kind === 'reasoning') text = '';
        flush();
        effects.push({ do: 'discard' });
        break;
      case 'start':
        // What came before it is discarded all the same.
        text = '';
        s.generationId = payload.start.generationId;
        s.hasWords = false;
        s.replay = false;
        effects.push({ do: 'start', start: payload.start });
        break;
      case 'end':
        flush();
        show(work, 'ended');
        finish(work, { do: 'end', end: payload.end });
        return;
    }
  }
  flush();
  s.failures = 0;
  if (taken > 0) {
    s.refusals = 0;
    if (!opening) weigh(work, silence, taken);
  }
  const lumpy = s.lumps >= 2 || (s.phase === 'held' && s.lumps > 0);
  show(work, lumpy ? 'held' : plainPhase(s));
}

/** How an event stands to the newest one that the sink has had. */
function compare(event: Cursor, last: Cursor | null): 'next' | 'known' | 'astray' {
  if (last === null) return event.seq === 1 ? 'next' : 'astray';
  if (event.seq <= last.seq) return event.epoch <= last.epoch ? 'known' : 'astray';
  return event.seq === last.seq + 1 && event.epoch >= last.epoch ? 'next' : 'astray';
}

/**
 * Gathers evidence for a proxy that collects the answer and hands it on in lumps: many events at
 * once after seconds of silence. A model that pauses goes on with one event, not with many; and one
 * such moment may be chance, so it takes two, and two prompt deliveries to forget them. A hidden
 * page proves nothing: its own reads may be late.
 */
function weigh({ s, at }: Work, silence: number, events: number): void {
  if (!s.visible || at.late >= TIMING.asleep) return;
  if (silence >= TIMING.lumpSilence) {
    if (events >= TIMING.lumpEvents) s.lumps = Math.min(s.lumps + 1, 3);
  } else if (silence >= TIMING.delivery && s.lumps > 0) {
    s.lumps -= 1;
  }
}

/** The stream says what it can't: asks the log again, and gives up where that doesn't help. */
export function fault(work: Work, kind: 'gap' | 'garbled'): void {
  const { s } = work;
  const place = s.last ?? { epoch: 0, seq: 0 };
  const further =
    place.epoch > s.faultAt.epoch || (place.epoch === s.faultAt.epoch && place.seq > s.faultAt.seq);
  s.faults = further ? 1 : s.faults + 1;
  if (further) s.faultAt = place;
  if (s.faults < PATIENCE[kind]) {
    if (kind === 'gap' && s.faults === PATIENCE.gapReplay) s.replay = true;
    comeBack(work);
    return;
  }
  if (s.generationId === null) {
    finish(work, { do: 'refuse', error: new NetworkError('the answer is no stream of this server') });
    return;
  }
  disconnect(work);
  show(work, 'ended');
  const error = { code: 'stream_unreadable', message: 'The answer arrives damaged.', retryable: true };
  finish(work, { do: 'end', end: { status: 'failed', finishReason: null, error } });
}

/** The place of one event in its generation's log: `seq` counts 1, 2, 3, … with no gap, `epoch` says under whose lease it was written. */
export interface Cursor {
  readonly epoch: number;
  readonly seq: number;
}

/** A cursor together with the log that it points into. */
export interface EventId extends Cursor {
  readonly generation: string;
}

/** Reads digits from `from` to `to`; -1 for anything else, and for a number that a double can't count with. */
function digits(text: string, from: number, to: number): number {
  if (from >= to || to - from > 15) return -1;
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Reads `<generation>:<epoch>.<seq>`, the `id:` of an event; null if it is none. */
export function parseEventId(text: string | undefined): EventId | null {
  if (text === undefined) return null;
  const colon = text.indexOf(':');
  const dot = text.indexOf('.', colon + 1);
  if (colon < 1 || dot < 0) return null;
  const epoch = digits(text, colon + 1, dot);
  const seq = digits(text, dot + 1, text.length);
  if (epoch < 1 || seq < 1) return null;
  return { generation: text.slice(0, colon), epoch, seq };
}

/** Reads a place that a caller has: a whole event id or its `<epoch>.<seq>`; null for anything else. */
export function parsePlace(text: string): Cursor | null {
  const id = parseEventId(text.includes(':') ? text : `-:${text}`);
  return id && { epoch: id.epoch, seq: id.seq };
}

/** The cursor as the `after` parameter of an attach. */
export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}.${cursor.seq}`;
}

import { readStored, writeStored } from '$/lib/storage';

/** Where a reader was: this message stood so many px below the upper edge. */
export interface Spot {
  messageId: string;
  offset: number;
}

const LIMIT = 50;
const KEY = 'places';

/** As the tab's own storage has them, so that they outlive a reload. The one that was used last comes last. */
function read(): [string, Spot][] {
  try {
    const stored: unknown = JSON.parse(readStored('session', KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(entry: unknown): entry is [string, Spot] {
  if (!Array.isArray(entry) || typeof entry[0] !== 'string') return false;
  const spot = entry[1] as Partial<Spot> | null;
  return typeof spot?.messageId === 'string' && Number.isFinite(spot.offset);
}

let spots: Map<string, Spot> | null = null;

/** Keeps the place in a conversation for as long as the tab is open; null: at the end, which needs no memory. */
export function keepSpot(conversationId: string, spot: Spot | null): void {
  spots ??= new Map(read());
  if (!spots.delete(conversationId) && !spot) return;
  if (spot) spots.set(conversationId, spot);
  if (spots.size > LIMIT) {
    const oldest = spots.keys().next();
    if (!oldest.done) spots.delete(oldest.value);
  }
  writeStored('session', KEY, JSON.stringify([...spots]));
}

export function spotOf(conversationId: string): Spot | null {
  spots ??= new Map(read());
  return spots.get(conversationId) ?? null;
}

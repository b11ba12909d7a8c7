import { readStored, writeStored } from '$/lib/storage';

/** What a tab keeps of a part over a reload. */
export interface Memory {
  /** Its reader has opened it. */
  open: boolean;
  /** When it began by this device's clock, while it is thought. */
  began: number | null;
}

const NOTHING: Memory = { open: false, began: null };
const LIMIT = 50;
const KEY = 'thoughts';

let memories: Map<string, Memory> | null = null;

function all(): Map<string, Memory> {
  memories ??= new Map(read());
  return memories;
}

function read(): [string, Memory][] {
  try {
    const stored: unknown = JSON.parse(readStored('session', KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(entry: unknown): entry is [string, Memory] {
  if (!Array.isArray(entry) || typeof entry[0] !== 'string') return false;
  const memory = entry[1] as Partial<Memory> | null;
  return typeof memory?.open === 'boolean' && (memory.began === null || Number.isFinite(memory.began));
}

/** What is known of a part from before a reload, or from before another chat was opened. */
export function recall(name: string): Memory {
  return all().get(name) ?? NOTHING;
}

/** Keeps it for as long as the tab is open. The part that was used last comes last. */
export function remember(name: string, change: Partial<Memory>): void {
  const memory = { ...recall(name), ...change };
  const map = all();
  const known = map.delete(name);
  if (memory.open || memory.began !== null) map.set(name, memory);
  else if (!known) return;
  const [oldest] = map.keys();
  if (map.size > LIMIT && oldest !== undefined) map.delete(oldest);
  writeStored('session', KEY, JSON.stringify([...map]));
}

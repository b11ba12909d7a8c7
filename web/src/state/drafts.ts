import { readStored, writeStored } from '$/lib/storage';

// Drafts outlive a reload, not the tab. The map is the truth, storage its copy; the last written draft is the last in both.

const STORED = 'drafts';
/** Most drafts, and most characters of all drafts together: browsers give a page about 5 MB. */
const MOST_DRAFTS = 30;
const MOST_CHARACTERS = 1_000_000;
/** Begins the key of a question that is on its way. */
const UNSENT = 'unsent:';
/** How long typing may go on before it is written down. */
const WRITE_AFTER_MS = 250;

let drafts: Map<string, string> | null = null;
/** The user whose drafts they are; null before anybody is known. */
let owner: string | null = null;
let timer: ReturnType<typeof setTimeout> | null = null;

function parse(stored: string | null): Map<string, string> {
  try {
    const [ownerId, ...entries] = JSON.parse(stored ?? '[null]') as unknown[];
    owner = typeof ownerId === 'string' ? ownerId : null;
    return new Map(
      entries.filter(
        (entry): entry is [string, string] =>
          Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'string',
      ),
    );
  } catch {
    return new Map();
  }
}

function all(): Map<string, string> {
  if (drafts === null) {
    drafts = parse(readStored('session', STORED));
    // The last moment that every browser tells the page about.
    window.addEventListener('pagehide', flushDrafts);
    // Nothing is on its way in a page that has just been loaded.
    for (const key of [...drafts.keys()])
      if (key.startsWith(UNSENT)) moveDraft(key, key.slice(UNSENT.length));
  }
  return drafts;
}

function dropOldest(map: Map<string, string>): void {
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}

function size(map: Map<string, string>): number {
  let characters = 0;
  for (const text of map.values()) characters += text.length;
  return characters;
}

/** Writes the drafts down now. */
export function flushDrafts(): void {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  // Where storage is too small, the oldest drafts live on in memory only.
  const copy = new Map(all());
  while (size(copy) > MOST_CHARACTERS) dropOldest(copy);
  while (!writeStored('session', STORED, copy.size === 0 ? null : JSON.stringify([owner, ...copy]))) {
    if (copy.size === 0) return;
    dropOldest(copy);
  }
}

/** The draft kept under a key (a conversation's id, or `new`); empty where there is none. */
export function draftOf(key: string): string {
  return all().get(key) ?? '';
}

/** The keys of all drafts, the one that was written last at the end. */
export function draftKeys(): string[] {
  return [...all().keys()];
}

/** Keeps a draft; an empty one is forgotten. */
export function keepDraft(key: string, text: string): void {
  const map = all();
  map.delete(key);
  if (text !== '') map.set(key, text);
  while (map.size > MOST_DRAFTS) dropOldest(map);
  timer ??= setTimeout(flushDrafts, WRITE_AFTER_MS);
}

/** Keeps a question until it is accepted or refused (then: an empty text). A reload before that finds it in the draft. */
export function keepUnsent(key: string, text: string): void {
  keepDraft(UNSENT + key, text);
}

/** Puts one draft before another. */
export function moveDraft(from: string, to: string): void {
  const text = draftOf(from);
  if (text === '') return;
  const there = draftOf(to);
  keepDraft(from, '');
  keepDraft(to, there === '' || there === text ? text : `${text}\n\n${there}`);
}

/** The drafts are this user's from now on; another one's are forgotten. */
export function ownDrafts(userId: string): void {
  all();
  if (owner !== userId && owner !== null) clearDrafts();
  owner = userId;
}

/** Forgets all drafts: they belong to whoever was signed in. */
export function clearDrafts(): void {
  all().clear();
  flushDrafts();
}

import { untrack } from 'svelte';

/** Whether an answer is the server's own: a proxy that stands before a dead server says 502 to 504. */
export function isServers(status: number): boolean {
  return status < 502 || status > 504;
}

async function probe(signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch('/api/v1/health/live', { cache: 'no-store', signal });
    return isServers(response.status);
  } catch {
    return false;
  }
}

/** After this time without a word from the server, a page that is looked at asks whether it is there. */
const QUIET_MS = 10_000;
/** The pauses between two questions to a server that does not answer: they double from the first to the longest. */
const FIRST_MS = 500;
const LONGEST_MS = 4000;
/** A server that takes longer to answer is out of reach. */
const PATIENCE_MS = 5000;

/**
 * Whether the server can be reached, and whether this device has a network at all.
 *
 * Whoever talks to the server says what came of it: `heard` for any answer and any part of a stream, `missed` for a
 * request without an answer. After a miss, and after silence, the server itself is asked. While it does not answer,
 * it is asked again every few seconds; the first word from it, to whomever, ends that.
 */
export class Connection {
  #reachable = $state(true);
  #online = $state(navigator.onLine);
  #asking = $state(false);
  #answer: Promise<void> | undefined;
  #probe: (signal: AbortSignal) => Promise<boolean>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wait = FIRST_MS;
  #heardAt = Date.now();
  /** Counts what was heard: a question that was asked before the newest word and got no answer says nothing. */
  #heard = 0;
  #watched = false;
  #returns = new Set<() => void>();

  constructor(ask: (signal: AbortSignal) => Promise<boolean> = probe) {
    this.#probe = ask;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** Whether this device has a network, as far as the browser knows. A server on this machine needs none. */
  get online(): boolean {
    return this.#online;
  }

  get asking(): boolean {
    return this.#asking;
  }

  /** The server has said something. Cheap: streams call it for every piece. */
  heard(): void {
    this.#heardAt = Date.now();
    this.#heard += 1;
    if (!untrack(() => this.#reachable)) this.#back();
  }

  /** A request got no answer. */
  missed(): void {
    if (this.#watched && untrack(() => this.#reachable)) void this.suspect();
  }

  /** Asks now, unless it is being asked already. Resolves when `reachable` says what came of it. */
  suspect(): Promise<void> {
    this.#answer ??= this.#ask().finally(() => {
      this.#answer = undefined;
      this.#arm();
    });
    return this.#answer;
  }

  /** Calls the listener whenever the server can be reached again. Gives back what ends that. */
  onreturn(listener: () => void): () => void {
    this.#returns.add(listener);
    return () => this.#returns.delete(listener);
  }

  /** Keeps `reachable` true to life until the returned function is called. One at a time. */
  watch(): () => void {
    return untrack(() => this.#watch());
  }

  #watch(): () => void {
    const end = new AbortController();
    const on = { signal: end.signal };
    const again = () => {
      this.#wait = FIRST_MS;
      void this.suspect();
    };
    const network = () => {
      this.#online = navigator.onLine;
      again();
    };
    const seen = () => {
      if (document.visibilityState !== 'visible') return;
      if (!this.#reachable || this.#quiet) again();
    };
    window.addEventListener('offline', network, on);
    window.addEventListener('online', network, on);
    window.addEventListener('pageshow', seen, on);
    document.addEventListener('visibilitychange', seen, on);
    this.#watched = true;
    this.#online = navigator.onLine;
    // Nobody has asked since it was last watched.
    if (!this.#reachable) again();
    else this.#arm();
    return () => {
      this.#watched = false;
      clearTimeout(this.#timer);
      end.abort();
    };
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    const heard = this.#heard;
    this.#asking = true;
    const answered = await this.#probe(AbortSignal.timeout(PATIENCE_MS));
    this.#asking = false;
    if (answered) this.heard();
    else if (heard === this.#heard) this.#reachable = false;
  }

  #back(): void {
    this.#reachable = true;
    this.#wait = FIRST_MS;
    this.#arm();
    for (const listener of [...this.#returns]) listener();
  }

  get #quiet(): boolean {
    const silence = Date.now() - this.#heardAt;
    // A clock that was set back has nothing to say.
    return silence >= QUIET_MS || silence < 0;
  }

  /** Sets the time of the next question. */
  #arm(): void {
    clearTimeout(this.#timer);
    if (!this.#watched) return;
    if (!this.#reachable) {
      this.#timer = setTimeout(() => void this.suspect(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_MS);
      return;
    }
    const left = this.#quiet ? QUIET_MS : QUIET_MS - (Date.now() - this.#heardAt);
    this.#timer = setTimeout(() => {
      if (this.#quiet && document.visibilityState === 'visible') void this.suspect();
      else this.#arm();
    }, left);
  }
}

export const connection = new Connection();

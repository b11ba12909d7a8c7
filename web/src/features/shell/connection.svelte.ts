/** Any answer of the server's own: a proxy that stands before a dead server says 502 to 504. */
async function probe(signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch('/api/v1/health/live', { cache: 'no-store', signal });
    return response.status < 502 || response.status > 504;
  } catch {
    return false;
  }
}

const FIRST_MS = 1000;
const LONGEST_MS = 15_000;
const PATIENCE_MS = 5000;

/**
 * Whether the server can be reached. Nothing is asked while all is well: somebody whose request got no answer says
 * `suspect()`, and from then on the server is asked, ever more rarely, until it answers.
 */
export class Connection {
  #reachable = $state(true);
  #asking = $state(false);
  #answer: Promise<void> | undefined;
  #probe: (signal: AbortSignal) => Promise<boolean>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wait = FIRST_MS;

  constructor(ask: (signal: AbortSignal) => Promise<boolean> = probe) {
    this.#probe = ask;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  get asking(): boolean {
    return this.#asking;
  }

  /** Asks now, unless it is being asked already. Resolves when `reachable` says what came of it. */
  suspect(): Promise<void> {
    this.#answer ??= this.#ask().finally(() => {
      this.#answer = undefined;
    });
    return this.#answer;
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#asking = true;
    this.#reachable = await this.#probe(AbortSignal.timeout(PATIENCE_MS));
    this.#asking = false;
    if (this.#reachable) {
      this.#wait = FIRST_MS;
      return;
    }
    this.#timer = setTimeout(() => void this.suspect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_MS);
  }

  /** Listens to what the browser knows of the network, until the returned function is called. */
  watch(): () => void {
    const changed = () => {
      this.#wait = FIRST_MS;
      void this.suspect();
    };
    const seen = () => {
      if (document.visibilityState === 'visible' && !this.#reachable) changed();
    };
    window.addEventListener('offline', changed);
    window.addEventListener('online', changed);
    document.addEventListener('visibilitychange', seen);
    // Nobody has asked since it was last watched.
    if (!this.#reachable) changed();
    return () => {
      clearTimeout(this.#timer);
      window.removeEventListener('offline', changed);
      window.removeEventListener('online', changed);
      document.removeEventListener('visibilitychange', seen);
    };
  }
}

export const connection = new Connection();

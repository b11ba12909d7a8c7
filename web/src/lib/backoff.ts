/** The longest first pause, in milliseconds; it doubles with each failure. */
const FIRST = 500;
/** No pause of our own choice is longer, in milliseconds. */
const LONGEST = 10_000;
/** A server may ask for more patience than that, but not for more than this, in milliseconds. */
const MOST_ASKED = 60_000;
/** Readers that were all told to come back at one moment spread over this many milliseconds. */
const SPREAD = 1_000;

/**
 * How long to wait before the next try, in milliseconds.
 *
 * Exponential with full jitter: after a server's restart its readers come back spread over the
 * whole window instead of in one wave. `asked` is what `retry:` or Retry-After said; it is never
 * undercut. `random` is in [0, 1).
 */
export function backoff(failures: number, random: number, asked = 0): number {
  if (asked > 0) return Math.min(asked, MOST_ASKED) + random * SPREAD;
  return random * Math.min(LONGEST, FIRST * 2 ** Math.min(failures, 10));
}

/** Tries again what has failed: at once the first time, then after the pauses of {@link backoff}. */
export class Retries {
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** Runs `attempt` when it is time; an earlier one that still waits is given up. */
  again(attempt: () => void): void {
    this.cancel();
    const failures = this.#failures;
    this.#failures += 1;
    if (failures === 0) {
      attempt();
      return;
    }
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        attempt();
      },
      backoff(failures, Math.random()),
    );
  }

  /** It works: the next failure counts as the first. */
  succeed(): void {
    this.#failures = 0;
  }

  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

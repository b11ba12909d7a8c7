const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

/** When to try again: at once the first time, then after waits that double up to half a minute. */
export class Backoff {
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** Runs `attempt` when it is time; an earlier one that still waits is given up. */
  again(attempt: () => void): void {
    this.cancel();
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
    this.#failures += 1;
    if (this.#failures === 1) {
      attempt();
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = null;
      attempt();
    }, wait);
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

/** Whole seconds until a moment, for people to read. Follows the clock, so that a tab that slept is right when it wakes. */
export class Countdown {
  /** Left; 0 when it does not run. */
  seconds = $state(0);
  #over: () => void;
  #until = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** `over` is called when the time is up, not when it is stopped. */
  constructor(over: () => void = () => undefined) {
    this.#over = over;
  }

  start(seconds: number): void {
    this.stop();
    this.#until = Date.now() + seconds * 1000;
    this.#timer = setInterval(() => this.#tick(), 250);
    this.#tick();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.seconds = 0;
  }

  #tick(): void {
    this.seconds = Math.max(0, Math.ceil((this.#until - Date.now()) / 1000));
    if (this.seconds > 0) return;
    clearInterval(this.#timer);
    this.#over();
  }
}

import { whenIdle } from '$/lib/idle';

/** How long work that can wait is done before the page gets its turn, in ms. */
const TURN = 8;

/** Work that can wait, done in turns when the page has nothing better to do. */
export class Turns<Item> {
  readonly #waiting = new Set<Item>();
  readonly #work: (item: Item) => void;
  #scheduled = false;

  constructor(work: (item: Item) => void) {
    this.#work = work;
  }

  /** Works on the item later, once. */
  add(item: Item): void {
    this.#waiting.add(item);
    if (this.#scheduled) return;
    this.#scheduled = true;
    whenIdle(() => this.#turn());
  }

  remove(item: Item): void {
    this.#waiting.delete(item);
  }

  #turn(): void {
    this.#scheduled = false;
    const until = performance.now() + TURN;
    for (const item of this.#waiting) {
      this.#waiting.delete(item);
      this.#work(item);
      if (performance.now() > until) break;
    }
    const [next] = this.#waiting;
    if (next !== undefined) this.add(next);
  }
}

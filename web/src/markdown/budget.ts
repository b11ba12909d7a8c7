/** How long the page may be busy with answers before it gets its turn, in ms, layout included. */
const SLICE = 24;
/** Parts that are made before the clock is looked at: the fewest and the most. */
const FEWEST = 200;
const MOST = 1_000;
/** Parts of at least this weight (formulas, code) cost so differently that the clock is looked at before each. */
const HEAVY = 10;

/** The whole task has one slice, however many answers it renders: when it ends. */
let sliceEnds: number | undefined;
/** A page that is being printed must be whole. */
let printing = false;

// In the capturing phase, so before those who only now put all messages into the page.
globalThis.addEventListener?.('beforeprint', () => setPrinting(true), { capture: true });
globalThis.addEventListener?.('afterprint', () => setPrinting(false));

function setPrinting(value: boolean): void {
  printing = value;
}

/** How many parts are made between two looks at the clock. It is learned: layout costs more on some pages. */
export class Pace {
  parts = FEWEST;

  /** What making that many took, in ms. */
  learn(took: number): void {
    if (took < SLICE) this.parts = Math.min(this.parts * 2, MOST);
    else if (took > 2 * SLICE) this.parts = Math.max(Math.ceil(this.parts / 2), FEWEST);
  }
}

/**
 * What one render may cost. The browser lays out what was made before the clock is looked at, so that a slice counts
 * what the reader has to wait for and not the script alone.
 *
 * **Invariant:** each budget lets at least one batch of parts be made, so work that is cut comes to its end.
 */
export class Budget {
  /** Something was refused: there is more to do. */
  cut = false;
  readonly #root: HTMLElement;
  readonly #pace: Pace;
  readonly #until: number;
  #left: number;
  /** A heavy part was made. */
  #heavy = false;
  #batchBegan: number;

  constructor(root: HTMLElement, pace: Pace) {
    this.#root = root;
    this.#pace = pace;
    this.#left = pace.parts;
    this.#batchBegan = performance.now();
    this.#until = printing ? Number.POSITIVE_INFINITY : endOfSlice(this.#batchBegan);
  }

  /** Whether a part may be made that costs as much as `weight` elements. */
  spend(weight = 1): boolean {
    if (this.cut) return false;
    if (weight >= HEAVY) {
      if (this.#heavy && !this.hasTime) {
        this.cut = true;
        return false;
      }
      this.#heavy = true;
    }
    this.#left -= weight;
    if (this.#left >= 0) return true;
    // Asking for it makes the browser lay out what is new.
    void this.#root.offsetHeight;
    const now = performance.now();
    this.#pace.learn(now - this.#batchBegan);
    this.#batchBegan = now;
    this.#left = this.#pace.parts;
    this.cut = now > this.#until;
    return !this.cut;
  }

  /** Whether there is time for something that makes no parts. */
  get hasTime(): boolean {
    return !this.cut && performance.now() <= this.#until;
  }
}

function endOfSlice(now: number): number {
  if (sliceEnds === undefined) {
    sliceEnds = now + SLICE;
    setTimeout(() => {
      sliceEnds = undefined;
    });
  }
  return sliceEnds;
}

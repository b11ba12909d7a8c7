import { whenIdle } from '$/lib/idle';
import { appendCodeText, hasBidiControl } from './bidi';
import { setData, setText } from './element';
import type { Grammar } from './langs';

/** Longer code stays plain: colouring it would hold up the page. Characters. */
export const MAX_COLOURED = 60_000;
/** While code grows it is coloured again after this long (ms) or this many times what the last time took. */
const PAUSE = 120;
const PAUSE_PER_COST = 12;
/** How long finished blocks are coloured before the page gets its turn, in ms. */
const SLICE = 8;

type Engine = typeof import('./highlight_engine');

let engine: Engine | undefined;
const loading = new Map<Grammar, Promise<void>>();

/** Loads the library and a grammar once. A failed load is tried again with the next block. */
function load(grammar: Grammar): Promise<void> {
  const known = loading.get(grammar);
  if (known !== undefined) return known;
  const started = import('./highlight_engine').then(async (loaded) => {
    await loaded.load(grammar);
    engine = loaded;
  });
  loading.set(grammar, started);
  started.catch(() => loading.delete(grammar));
  return started;
}

/** Shows code in an element: plain at once, in colours when the grammar is there and time allows. */
export class CodePainter {
  readonly #code: HTMLElement;
  #text = '';
  #grammar: Grammar | null = null;
  #live = false;
  /** How much of the text is coloured, and the plain rest after it. */
  #coloured = 0;
  #rest: Text | null = null;
  #nextAt = 0;

  constructor(code: HTMLElement) {
    this.#code = code;
  }

  show(text: string, grammar: Grammar | null, live: boolean): void {
    if (!text.startsWith(this.#text) || grammar !== this.#grammar) this.#coloured = 0;
    this.#text = text;
    this.#live = live;
    this.#grammar = text.length > MAX_COLOURED ? null : grammar;
    if (this.#grammar === null) {
      this.#showPlain();
      return;
    }
    if (!this.#isReady(this.#grammar)) {
      this.#showPlain();
      load(this.#grammar).then(
        () => this.#colourSoon(),
        // Without its grammar the code stays as it is: readable.
        () => undefined,
      );
    } else if (!live) {
      if (this.#coloured === 0) this.#showPlain();
      else this.#showRest();
      this.#colourSoon();
    } else if (performance.now() >= this.#nextAt && text.lastIndexOf('\n') >= this.#coloured) {
      this.#colour(text.lastIndexOf('\n') + 1);
    } else {
      this.#showRest();
    }
  }

  /** Colours what there is now. For the queue of finished blocks. */
  colourNow(): void {
    const length = this.#live ? this.#text.lastIndexOf('\n') + 1 : this.#text.length;
    if (this.#grammar !== null && this.#isReady(this.#grammar)) this.#colour(length);
  }

  #colourSoon(): void {
    waiting.add(this);
    schedule();
  }

  #isReady(grammar: Grammar): boolean {
    return engine?.knows(grammar) ?? false;
  }

  #colour(length: number): void {
    if (this.#grammar === null || engine === undefined) return;
    const began = performance.now();
    const coloured = engine.highlight(this.#text.slice(0, length), this.#grammar);
    if (coloured === null) return;
    this.#code.replaceChildren(coloured);
    this.#coloured = length;
    this.#rest = null;
    this.#showRest();
    const ended = performance.now();
    this.#nextAt = ended + Math.max(PAUSE, PAUSE_PER_COST * (ended - began));
  }

  #showRest(): void {
    if (this.#coloured === 0) {
      this.#showPlain();
      return;
    }
    const rest = this.#text.slice(this.#coloured);
    if (rest === '' && this.#rest === null) return;
    if (hasBidiControl(rest)) {
      this.#colour(this.#text.length);
      return;
    }
    if (this.#rest === null) {
      this.#rest = document.createTextNode('');
      this.#code.append(this.#rest);
    }
    setData(this.#rest, rest);
  }

  #showPlain(): void {
    this.#rest = null;
    if (hasBidiControl(this.#text)) {
      this.#code.replaceChildren();
      appendCodeText(this.#code, this.#text);
    } else {
      setText(this.#code, this.#text);
    }
  }
}

const waiting = new Set<CodePainter>();
let scheduled = false;

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  whenIdle(() => colourWaiting());
}

function colourWaiting(): void {
  scheduled = false;
  const until = performance.now() + SLICE;
  for (const painter of waiting) {
    waiting.delete(painter);
    painter.colourNow();
    if (performance.now() > until) break;
  }
  if (waiting.size > 0) schedule();
}

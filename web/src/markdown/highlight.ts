import { setCodeText } from './bidi';
import { element } from './element';
import type { Grammar } from './langs';
import { Turns } from './turns';

/** Code behind this many characters stays plain. */
export const MAX_COLOURED = 60_000;
/** The most that is coloured at once, in characters: a grammar's cost can grow with the square of it. */
const MAX_PIECE = 4_000;
/** While code grows it is coloured again after this long (ms) or this many times what the last time took. */
const PAUSE = 120;
const PAUSE_PER_COST = 12;
/** A piece that takes longer (ms) is the last one: the grammar does not get on with this code. */
const MAX_COST = 80;

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

/** Finished blocks, and pieces of long ones, that wait for their colours. */
const waiting = new Turns<CodePainter>((painter) => painter.colourNext());

/**
 * Shows code in an element: plain at once, in colours when the grammar is there and time allows. Long code is
 * coloured in pieces, cut where it looks like the end of something; a piece that is done is not touched again.
 */
export class CodePainter {
  readonly #code: HTMLElement;
  #text = '';
  #grammar: Grammar | null = null;
  #live = false;
  /** The length of the pieces that are done. */
  #done = 0;
  /** The piece that still grows, up to where it is coloured; then the plain rest. */
  #piece: HTMLElement | null = null;
  #coloured = 0;
  #rest: HTMLElement | null = null;
  #nextAt = 0;
  #tooSlow = false;

  constructor(code: HTMLElement) {
    this.#code = code;
  }

  show(text: string, grammar: Grammar | null, live: boolean): void {
    if (!text.startsWith(this.#text) || grammar !== this.#grammar) this.#startOver();
    this.#text = text;
    this.#live = live;
    this.#grammar = grammar;
    this.#showRest();
    if (grammar === null) return;
    if (!this.#isReady) {
      load(grammar).then(
        () => waiting.add(this),
        // Without its grammar the code stays as it is: readable.
        () => undefined,
      );
    } else if (!live) {
      waiting.add(this);
    } else if (performance.now() >= this.#nextAt) {
      this.colourNext();
    }
  }

  /** Colours the next piece. For the queue. */
  colourNext(): void {
    if (!this.#isReady || this.#tooSlow || this.#done >= MAX_COLOURED) return;
    const end = pieceEnd(this.#text, this.#done);
    if (end !== null) {
      this.#colour(end);
      this.#done = end;
      this.#piece = null;
      waiting.add(this);
      return;
    }
    const length = this.#live ? this.#text.lastIndexOf('\n') + 1 : this.#text.length;
    if (length > this.#coloured) this.#colour(length);
  }

  get #isReady(): boolean {
    return this.#grammar !== null && (engine?.knows(this.#grammar) ?? false);
  }

  #startOver(): void {
    this.#done = 0;
    this.#coloured = 0;
    this.#piece = null;
    this.#rest = null;
    this.#tooSlow = false;
    this.#code.replaceChildren();
  }

  /** Shows the text from the pieces that are done up to `end` in colours. */
  #colour(end: number): void {
    if (this.#grammar === null || engine === undefined) return;
    const began = performance.now();
    if (this.#piece === null) {
      this.#piece = element('span');
      this.#code.insertBefore(this.#piece, this.#rest);
    }
    const source = this.#text.slice(this.#done, end);
    const coloured = source.length > MAX_PIECE ? null : engine.highlight(source, this.#grammar);
    if (coloured === null) setCodeText(this.#piece, source);
    else this.#piece.replaceChildren(coloured);
    this.#coloured = end;
    this.#showRest();
    const cost = performance.now() - began;
    this.#tooSlow = cost > MAX_COST;
    this.#nextAt = began + cost + Math.max(PAUSE, PAUSE_PER_COST * cost);
  }

  #showRest(): void {
    const rest = this.#text.slice(this.#coloured);
    if (this.#rest === null) {
      // Code without colours has no need of another element.
      if (this.#coloured === 0) {
        setCodeText(this.#code, rest);
        return;
      }
      this.#code.replaceChildren(...(this.#piece === null ? [] : [this.#piece]));
      this.#rest = element('span');
      this.#code.append(this.#rest);
    }
    setCodeText(this.#rest, rest);
  }
}

/** Where the piece that begins at `from` ends, or null where it may still grow. */
function pieceEnd(text: string, from: number): number | null {
  if (text.length - from <= MAX_PIECE) return null;
  const window = text.slice(from, from + MAX_PIECE);
  // Before a line that is not indented, after an empty one: seldom within anything.
  let end = 0;
  for (const { index } of window.matchAll(/\n\n(?=[^\s}\])])/g)) end = index + 2;
  if (end > MAX_PIECE / 2) return from + end;
  const line = window.lastIndexOf('\n') + 1;
  if (line > 0) return from + line;
  // One line that is longer than a piece: it stays plain.
  const feed = text.indexOf('\n', from);
  return feed < 0 ? null : feed + 1;
}

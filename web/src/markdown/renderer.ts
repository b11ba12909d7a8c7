import '$/lib/prose_words';
import { hasEdges } from './boxes';
import { Pace } from './budget';
import { releaseDiagrams } from './diagram';
import { Shown } from './shown';

/** A render that took longer (ms) is followed by a pause of three times as long, so that the page stays usable. */
const LONG_RENDER = 12;
const PAUSE_PER_COST = 3;
/** Whether the style sheet alone shows where a box goes on (`edges.css`). */
const STYLES_TELL_EDGES = globalThis.CSS?.supports?.('animation-timeline', 'scroll(self inline)') ?? true;
/** Characters that are read before the clock is looked at; as many as are open, where these are more. */
const READ_AT_ONCE = 16_000;

/**
 * Shows Markdown that arrives piece by piece. Blocks that can no longer change are never touched again (a selection
 * in them survives); the last one is patched. At most one render a frame, and none while the tab is hidden, because
 * a hidden tab has no frames. `root` gets the class `prose`, and `live` from the first text to `finish`.
 *
 * A render that would hold up the page is done in slices, a frame each; `aria-busy` is set until the last one.
 *
 * **Invariant:** when a finished text is shown, the page shows it as if it had come in one piece.
 */
export class MarkdownRenderer {
  readonly #root: HTMLElement;
  readonly #changed: () => void;
  readonly #pace = new Pace();
  /** The whole text. */
  #text = '';
  /** What has been read of it. */
  #read = '';
  #finished = false;
  /** The text was replaced: whether it goes on from what is shown is yet to be seen. */
  #replaced = false;
  #frame: number | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #restUntil = 0;
  #shown: Shown;
  #destroyed = false;
  /** Ends the marking of edges. */
  #edges: (() => void) | undefined;

  constructor(root: HTMLElement, hooks: { /** After each render. */ changed?(): void } = {}) {
    this.#root = root;
    this.#changed = hooks.changed?.bind(hooks) ?? (() => undefined);
    root.classList.add('prose');
    this.#shown = new Shown(root, this.#pace);
  }

  /**
   * Starts over with this text. What is shown stays until the new text differs from it or has caught up with it, so
   * that a stream which is read again from its beginning does not flicker.
   */
  reset(text: string): void {
    this.#text = text;
    this.#replaced = true;
    this.#finished = false;
    this.#root.classList.remove('edges');
    this.#root.classList.add('live');
    this.#schedule();
  }

  append(text: string): void {
    if (text === '') return;
    if (this.#finished) {
      this.reset(this.#text + text);
      return;
    }
    this.#text += text;
    this.#root.classList.remove('edges');
    this.#root.classList.add('live');
    this.#schedule();
  }

  /** The text is complete: renders it now, or what one slice allows of it. */
  finish(): void {
    if (this.#finished) return;
    this.#cancel();
    this.#finished = true;
    this.#root.classList.remove('live');
    this.#render();
  }

  /** Stops all work. What is shown stays in the page until its owner removes it. */
  destroy(): void {
    this.#cancel();
    this.#destroyed = true;
    unfinished.delete(this.#whole);
    this.#forgetEdges();
    releaseDiagrams(this.#root);
  }

  #schedule(): void {
    if (this.#frame !== undefined || this.#pause !== undefined) return;
    const wait = this.#restUntil - performance.now();
    if (wait <= 0) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = undefined;
        this.#render();
      });
      return;
    }
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#schedule();
    }, wait);
  }

  #cancel(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    clearTimeout(this.#pause);
    this.#frame = undefined;
    this.#pause = undefined;
  }

  #render(): void {
    if (this.#replaced && !this.#finished && this.#read.startsWith(this.#text)) return;
    const began = performance.now();
    const complete = this.#show();
    const cost = performance.now() - began;
    this.#restUntil = cost > LONG_RENDER && !this.#finished ? began + cost * (1 + PAUSE_PER_COST) : 0;
    this.#busy(this.#finished && !complete);
    this.#changed();
    if (!complete) this.#schedule();
    else if (this.#finished) this.#showEdges();
  }

  /** Shows what the budget allows. Gives back whether that was all. */
  #show(): boolean {
    const goesOn = this.#text.startsWith(this.#read) && !(this.#shown.isClosed && this.#text !== this.#read);
    if (!goesOn) this.#startOver();
    this.#replaced = false;
    this.#shown.beginSlice();
    do {
      const most = Math.max(READ_AT_ONCE, this.#shown.openLength);
      const piece = this.#text.slice(this.#read.length, this.#read.length + most);
      this.#read += piece;
      const last = this.#read.length === this.#text.length;
      this.#shown.take(piece, last && this.#finished);
      if (last) return this.#shown.update();
    } while (this.#shown.update() && this.#shown.hasTime);
    return false;
  }

  #showEdges(): void {
    const shown = hasEdges(this.#root);
    this.#root.classList.toggle('edges', shown);
    if (shown && !STYLES_TELL_EDGES) this.#markEdges();
  }

  #markEdges(): void {
    const shown = this.#shown;
    import('./edges').then(
      ({ markEdges }) => {
        if (shown === this.#shown && !this.#destroyed) this.#edges ??= markEdges(this.#root);
      },
      // Without it the boxes end hard.
      () => undefined,
    );
  }

  #forgetEdges(): void {
    this.#edges?.();
    this.#edges = undefined;
  }

  #startOver(): void {
    this.#forgetEdges();
    this.#read = '';
    releaseDiagrams(this.#root);
    this.#root.replaceChildren();
    this.#shown = new Shown(this.#root, this.#pace);
  }

  readonly #whole = () => this.#render();

  #busy(busy: boolean): void {
    if (busy) {
      unfinished.add(this.#whole);
      this.#root.setAttribute('aria-busy', 'true');
    } else if (unfinished.delete(this.#whole)) {
      this.#root.removeAttribute('aria-busy');
    }
  }
}

/** What renders the rest of each answer of which only a part is shown yet. */
const unfinished = new Set<() => void>();

// After the budgets have learned of it: what is printed is the whole.
globalThis.addEventListener?.('beforeprint', () => {
  for (const render of unfinished) render();
});

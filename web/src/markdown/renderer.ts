import { BlockStream, type Blocks, normalizeLines, visibleBlocks } from './block_stream';
import { blockKind } from './blocks';
import { releaseDiagrams } from './diagram';
import { lex } from './lex';
import { Outline } from './outline';
import { PartList } from './parts';

/** A render that took longer (ms) is followed by a pause of three times as long, so that the page stays usable. */
const LONG_RENDER = 12;
const PAUSE_PER_COST = 3;

/**
 * Shows Markdown that arrives piece by piece. Blocks that can no longer change are never touched again (a selection
 * in them survives); the last one is patched. At most one render a frame, and none while the tab is hidden, because
 * a hidden tab has no frames. `root` gets the class `prose`, and `live` from the first text to `finish`.
 *
 * **Invariant:** after `finish` the page shows the text as if it had come in one piece.
 */
export class MarkdownRenderer {
  readonly #root: HTMLElement;
  readonly #changed: () => void;
  #stream = new BlockStream();
  #outline = new Outline();
  #parts = new PartList(blockKind);
  /** The whole text. */
  #text = '';
  /** What is shown of it. */
  #shown = '';
  #finished = false;
  /** The text was replaced: whether it goes on from what is shown is yet to be seen. */
  #replaced = false;
  /** What is shown was finished, so no text can be added to it. */
  #closed = false;
  #frame: number | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #restUntil = 0;

  constructor(root: HTMLElement, hooks: { /** After each render. */ changed?(): void } = {}) {
    this.#root = root;
    this.#changed = hooks.changed?.bind(hooks) ?? (() => undefined);
    root.classList.add('prose');
  }

  /**
   * Starts over with this text. What is shown stays until the new text differs from it or has caught up with it, so
   * that a stream which is read again from its beginning does not flicker.
   */
  reset(text: string): void {
    this.#text = text;
    this.#replaced = true;
    this.#finished = false;
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
    this.#root.classList.add('live');
    this.#schedule();
  }

  /** The text is complete: renders it now. */
  finish(): void {
    if (this.#finished) return;
    this.#cancel();
    this.#finished = true;
    this.#root.classList.remove('live');
    this.#feed();
    this.#show(this.#stream.finish());
    if (this.#stream.hasDefinitions) this.#showWhole();
    this.#closed = true;
    this.#changed();
  }

  /** Stops all work. What is shown stays in the page until its owner removes it. */
  destroy(): void {
    this.#cancel();
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
    if (this.#replaced && this.#shown.startsWith(this.#text)) return;
    const began = performance.now();
    this.#feed();
    this.#show(this.#stream.update());
    const cost = performance.now() - began;
    this.#restUntil = cost > LONG_RENDER ? began + cost * (1 + PAUSE_PER_COST) : 0;
    this.#changed();
  }

  /** Gives the stream what it has not had yet. */
  #feed(): void {
    if (this.#closed || (this.#replaced && !this.#text.startsWith(this.#shown))) this.#clear();
    this.#replaced = false;
    this.#stream.append(this.#text.slice(this.#shown.length));
    this.#shown = this.#text;
  }

  #show({ stable, open }: Blocks): void {
    this.#outline.add(stable);
    this.#outline.preview(open);
    this.#parts.update(this.#root, [...stable, ...open], { live: open.length > 0, inLink: false });
    this.#parts.release(stable.length);
  }

  /** A definition may have come after its first use: only the whole text at once tells all links. */
  #showWhole(): void {
    this.#clear();
    this.#shown = this.#text;
    this.#show({ stable: visibleBlocks(lex(normalizeLines(this.#text)).blocks), open: [] });
  }

  #clear(): void {
    this.#closed = false;
    this.#shown = '';
    this.#stream = new BlockStream();
    this.#outline = new Outline();
    this.#parts = new PartList(blockKind);
    releaseDiagrams(this.#root);
    this.#root.replaceChildren();
  }
}

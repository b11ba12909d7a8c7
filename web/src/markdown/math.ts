import { element } from './element';
import type { MarkdownToken } from './lex';
import { MAX_MATH } from './math_syntax';
import type { Part } from './parts';

type Engine = typeof import('./math_engine');

let engine: Engine | undefined;
let loading: Promise<Engine> | undefined;

function load(): Promise<Engine> {
  loading ??= import('./math_engine').then(
    (loaded) => {
      engine = loaded;
      return loaded;
    },
    (error: unknown) => {
      // Another formula may have more luck.
      loading = undefined;
      throw error;
    },
  );
  return loading;
}

/** A formula: its TeX as code until the library is there, and for good where it can't be drawn. */
export class MathPart implements Part {
  readonly node: HTMLElement;
  readonly #display: boolean;
  #tex: string | null = null;
  #raw = '';

  constructor(node: HTMLElement, display: boolean) {
    this.node = node;
    this.#display = display;
    node.className = display ? 'math math-display' : 'math';
  }

  update(token: MarkdownToken): void {
    if (token.type !== 'block_math' && token.type !== 'inline_math') return;
    const tex = token.unfinished ? null : token.text;
    if (tex !== null && tex === this.#tex) return;
    this.#tex = tex;
    this.#raw = token.text;
    if (tex === null || tex.length > MAX_MATH) {
      this.#showSource();
    } else if (engine !== undefined) {
      this.#draw(engine, tex);
    } else {
      this.#showSource();
      load().then(
        (loaded) => {
          if (this.#tex === tex) this.#draw(loaded, tex);
        },
        () => undefined,
      );
    }
  }

  #draw(loaded: Engine, tex: string): void {
    // Drawn aside: where it fails half-way, nothing of it is to be seen.
    const drawing = element('span');
    try {
      loaded.draw(tex, drawing, this.#display);
    } catch {
      this.#showSource();
      return;
    }
    this.node.replaceChildren(...drawing.childNodes);
  }

  #showSource(): void {
    const source = element('code', 'math-source');
    source.textContent = this.#raw;
    this.node.replaceChildren(source);
  }
}

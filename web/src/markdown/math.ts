import type { Answer } from './answer';
import { hasBidiControl, setCodeText } from './bidi';
import { element } from './element';
import type { MarkdownToken } from './lex';
import { isDrawable, isShowable } from './math_limits';
import { MAX_MATH } from './math_syntax';
import type { Part, Place } from './parts';
import { Turns } from './turns';

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

/** Formulas that wait for the library: many may be drawn at once when it comes. */
const waiting = new Turns<MathPart>((part) => part.drawNow());

/** A formula: its TeX as code until the library is there, and for good where it can't be drawn. */
export class MathPart implements Part {
  readonly node: HTMLElement;
  readonly #display: boolean;
  #tex: string | null = null;
  #raw = '';
  #answer: Answer | undefined;

  constructor(node: HTMLElement, display: boolean) {
    this.node = node;
    this.#display = display;
    node.className = display ? 'math math-display' : 'math';
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'block_math' && token.type !== 'inline_math') return;
    const tex = token.unfinished ? null : token.text;
    if (tex !== null && tex === this.#tex) return;
    this.#tex = tex;
    this.#raw = token.text;
    this.#answer = place.answer;
    const drawable = tex !== null && tex.length <= MAX_MATH && !hasBidiControl(tex) && isDrawable(tex);
    if (!drawable || !place.answer.mayDrawFormula()) {
      this.#showSource();
    } else if (engine?.canDraw(tex)) {
      this.drawNow();
    } else {
      this.#showSource();
      load()
        .then((loaded) => loaded.prepare(tex))
        .then(
          () => waiting.add(this),
          () => undefined,
        );
    }
  }

  destroy(): void {
    waiting.remove(this);
  }

  /** Draws the formula. For the queue of those that waited. */
  drawNow(): void {
    if (engine === undefined || this.#tex === null) return;
    // Drawn aside: where it fails half-way, or is more than the page can bear, nothing of it is to be seen.
    const drawing = element('span');
    try {
      engine.draw(this.#tex, drawing, this.#display);
    } catch {
      this.#showSource();
      return;
    }
    const elements = drawing.getElementsByTagName('*').length;
    if (isShowable(drawing) && this.#answer?.mayShowFormula(elements) === true)
      this.node.replaceChildren(...drawing.childNodes);
    else this.#showSource();
  }

  #showSource(): void {
    const source = element('code', 'math-source');
    setCodeText(source, this.#raw);
    this.node.replaceChildren(source);
  }
}

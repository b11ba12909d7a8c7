import { MarkdownRenderer } from '$/markdown/renderer';

// The test environment has no style of its own to ask about.
globalThis.matchMedia ??= () =>
  Object.assign(new EventTarget(), { matches: false, media: '', onchange: null }) as MediaQueryList;

/** Renders as a reader sees it who gets the text in these pieces, each in a frame of its own. */
export function render(pieces: readonly string[], eachFrame?: (root: HTMLElement) => void): HTMLElement {
  const frames = new Frames();
  try {
    const root = document.createElement('div');
    const renderer = new MarkdownRenderer(root);
    renderer.reset('');
    for (const piece of pieces) {
      renderer.append(piece);
      frames.run();
      eachFrame?.(root);
    }
    renderer.finish();
    return root;
  } finally {
    frames.restore();
  }
}

/** Frames that come when the test says so, and a clock that stands still, so that no render is put off. */
export class Frames {
  #waiting = new Map<number, FrameRequestCallback>();
  #count = 0;
  readonly #request = globalThis.requestAnimationFrame;
  readonly #cancel = globalThis.cancelAnimationFrame;
  readonly #performance = globalThis.performance;

  constructor() {
    globalThis.requestAnimationFrame = (callback) => {
      this.#count += 1;
      this.#waiting.set(this.#count, callback);
      return this.#count;
    };
    globalThis.cancelAnimationFrame = (id) => {
      this.#waiting.delete(id);
    };
    globalThis.performance = Object.create(this.#performance, { now: { value: () => 0 } });
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  run(): void {
    const callbacks = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const callback of callbacks) callback(0);
  }

  restore(): void {
    globalThis.requestAnimationFrame = this.#request;
    globalThis.cancelAnimationFrame = this.#cancel;
    globalThis.performance = this.#performance;
  }
}

/** What is shown, as text: elements, their attributes in order, their text. The colours of code are left out. */
export function describe(node: Node): string {
  if (node instanceof Text) return node.data.replaceAll('<', '&lt;');
  if (!(node instanceof Element)) return '';
  const name = node.localName;
  const attributes = [...node.attributes]
    .map(({ name, value }) => ` ${name}="${value.replaceAll('"', '&quot;')}"`)
    .toSorted()
    .join('');
  const inCode = name === 'code' && node.parentElement?.localName === 'pre';
  const content = inCode ? node.textContent : [...node.childNodes].map(describe).join('');
  return `<${name}${attributes}>${content}</${name}>`;
}

/** The children of a rendered root, without the root's own classes. Each answer has ids of its own: here all are one. */
export function shown(root: Element): string {
  return [...root.childNodes]
    .map(describe)
    .join('')
    .replace(/note-\d+-/g, 'note-');
}

/** Numbers from 0 to 1 that are the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Cuts a text into pieces of 1 to `longest` UTF-16 units. */
export function cut(text: string, longest: number, random: () => number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = 1 + Math.floor(random() * longest);
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}

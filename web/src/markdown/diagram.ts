import { isReport } from '$/diagram/messages';
import { t } from '$/lib/i18n.svelte';
import { button, element } from './element';

/** Characters of a diagram's source; a longer one stays code. */
const MAX_SOURCE = 20_000;
/** Heights of a drawing's frame, in CSS pixels: what is higher scrolls within it. */
const MIN_HEIGHT = 48;
const MAX_HEIGHT = 640;
/** How long the frame may take to say that it is ready, after it was loaded, in ms. */
const READY_WITHIN = 10_000;

/** The diagrams in the page, for messages and for a change of theme. */
const shown = new Set<Diagram>();
let listening = false;

/**
 * A diagram is drawn by a library that builds markup from text. It does so in a frame without an origin and with a
 * policy of its own: what may go wrong there can reach neither this page nor its session. The source is shown until
 * the drawing is there, and whenever it can't be made.
 */
export class Diagram {
  static canDraw(source: string): boolean {
    return source.trim() !== '' && source.length <= MAX_SOURCE;
  }

  readonly source: string;
  /** Switches between source and drawing; disabled until there is a drawing. */
  readonly toggle: HTMLButtonElement;
  readonly #holder: HTMLElement;
  readonly #frame = element('iframe', 'diagram');
  readonly #note = element('p', 'diagram-note');
  #limit: ReturnType<typeof setTimeout> | undefined;
  #isReady = false;

  constructor(source: string, holder: HTMLElement) {
    this.source = source;
    this.#holder = holder;
    this.toggle = button(t('prose.show_diagram'), () =>
      this.#show(!holder.classList.contains('shows-diagram')),
    );
    this.toggle.classList.add('diagram-toggle');
    this.toggle.disabled = true;
    this.#frame.setAttribute('sandbox', 'allow-scripts');
    this.#frame.title = t('prose.diagram');
    this.#frame.loading = 'lazy';
    this.#frame.height = String(MIN_HEIGHT);
    this.#frame.addEventListener('load', () => this.#expectReady());
    this.#frame.src = '/diagram.html';
    holder.append(this.#frame);
    shown.add(this);
    listen();
  }

  destroy(): void {
    shown.delete(this);
    clearTimeout(this.#limit);
    this.#frame.remove();
    this.#note.remove();
  }

  isWithin(root: Node): boolean {
    return root.contains(this.#holder);
  }

  isFrom(source: MessageEventSource | null): boolean {
    return source !== null && source === this.#frame.contentWindow;
  }

  /** The frame can draw. */
  ready(): void {
    clearTimeout(this.#limit);
    this.#limit = undefined;
    this.#isReady = true;
    this.draw();
  }

  /** A frame whose script is refused or broken says nothing at all: then the reader is told here. */
  #expectReady(): void {
    clearTimeout(this.#limit);
    if (this.#isReady) return;
    this.#limit = setTimeout(() => this.failed(), READY_WITHIN);
  }

  /** The frame has an origin that no name stands for; nothing that is sent to it is a secret. */
  draw(): void {
    this.#frame.contentWindow?.postMessage({ type: 'draw', source: this.source, theme: currentTheme() }, '*');
  }

  drawn(height: number): void {
    const first = this.toggle.disabled;
    this.toggle.disabled = false;
    this.#note.remove();
    this.#frame.height = String(Math.min(Math.max(Math.ceil(height), MIN_HEIGHT), MAX_HEIGHT));
    if (first) this.#show(true);
  }

  failed(): void {
    this.#show(false);
    this.toggle.disabled = true;
    this.#note.textContent = t('prose.diagram_failed');
    this.#holder.append(this.#note);
  }

  #show(drawing: boolean): void {
    this.#holder.classList.toggle('shows-diagram', drawing);
    this.toggle.textContent = t(drawing ? 'prose.show_source' : 'prose.show_diagram');
  }
}

/** Forgets the diagrams within a node that leaves the page. */
export function releaseDiagrams(root: Node): void {
  for (const diagram of shown) if (diagram.isWithin(root)) diagram.destroy();
}

function listen(): void {
  if (listening) return;
  listening = true;
  addEventListener('message', (event: MessageEvent<unknown>) => {
    const report = event.data;
    if (!isReport(report)) return;
    for (const diagram of shown) {
      if (!diagram.isFrom(event.source)) continue;
      if (report.type === 'ready') diagram.ready();
      else if (report.type === 'drawn') diagram.drawn(report.height);
      else diagram.failed();
    }
  });
  const redraw = () => {
    for (const diagram of shown) diagram.draw();
  };
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
}

function currentTheme(): 'light' | 'dark' {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

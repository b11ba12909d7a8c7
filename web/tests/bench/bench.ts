import './bench.css';
import { MarkdownRenderer } from '$/markdown/renderer';
import { HOSTILE } from '../fixtures/hostile';
import { answer, tokens } from './fixture';

/** What `scripts/measure-render.mjs` runs in the page. Each returns when all is drawn. */
export interface Bench {
  /** Loads the highlighter, its grammars and the formulas, as a reader of a second answer has them. */
  warmUp(): Promise<void>;
  stream(
    count: number,
    perSecond: number,
  ): Promise<{ characters: number; frames: number; longTasks: number[] }>;
  replay(count: number): Promise<{ milliseconds: number }>;
  /** A conversation of 100 messages; `near` renders only what is about to be seen, as the page does. */
  open(characters: number, near: boolean): Promise<{ milliseconds: number; elements: number }>;
  /** The names of the hostile texts. */
  kinds(): string[];
  /** Shows a hostile text, at once or piece by piece; the longest task and all long ones, in ms. */
  hostile(
    name: string,
    length: number,
    mode: 'open' | 'live',
  ): Promise<{ longest: number; total: number; elements: number }>;
  /** Shows a text, for a picture. */
  show(text: string): Promise<void>;
}

declare global {
  interface Window {
    bench: Bench;
    violations: string[];
  }
}

const scroller = document.querySelector('#scroller') as HTMLElement;
const longTasks: number[] = [];
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.violations.push(
    `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`,
  );
});
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) longTasks.push(task.duration);
}).observe({ type: 'longtask' });

const frame = () => new Promise((done) => requestAnimationFrame(done));
const drawn = async () => {
  await frame();
  await frame();
};
const idle = () => new Promise((done) => requestIdleCallback(done));

function article(): HTMLElement {
  const made = document.createElement('article');
  scroller.append(made);
  return made;
}

/** A turn of the page's loop, without the delay of a timer. */
function turn(): Promise<void> {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}

window.bench = {
  async warmUp() {
    const root = article();
    const renderer = new MarkdownRenderer(root);
    renderer.reset(answer(20_000, 5));
    renderer.finish();
    while (root.querySelector('.math-source') !== null || root.querySelector('.hljs-keyword') === null)
      await drawn();
    for (let count = 0; count < 20; count++) await idle();
    scroller.replaceChildren();
  },

  async stream(count, perSecond) {
    const pieces = tokens(count);
    const root = article();
    longTasks.length = 0;
    let frames = 0;
    const renderer = new MarkdownRenderer(root, {
      changed() {
        frames++;
        scroller.scrollTop = scroller.scrollHeight;
      },
    });
    const began = performance.now();
    let given = 0;
    await new Promise<void>((done) => {
      const timer = setInterval(() => {
        const due = Math.min(pieces.length, Math.floor(((performance.now() - began) / 1_000) * perSecond));
        while (given < due) renderer.append(pieces[given++] ?? '');
        if (given < pieces.length) return;
        clearInterval(timer);
        done();
      }, 1_000 / perSecond);
    });
    renderer.finish();
    await drawn();
    return { characters: pieces.join('').length, frames, longTasks: [...longTasks] };
  },

  async replay(count) {
    const pieces = tokens(count);
    scroller.replaceChildren();
    await drawn();
    const began = performance.now();
    const renderer = new MarkdownRenderer(article());
    for (let at = 0; at < pieces.length; at += 200) {
      for (const piece of pieces.slice(at, at + 200)) renderer.append(piece);
      await turn();
    }
    renderer.finish();
    await drawn();
    return { milliseconds: performance.now() - began };
  },

  async open(characters, near) {
    scroller.replaceChildren();
    const texts = Array.from({ length: 100 }, (_, index) => answer(characters / 100, index + 10));
    await drawn();
    const began = performance.now();
    const waiting = new Map<Element, string>();
    const show = (root: HTMLElement, text: string) => {
      const renderer = new MarkdownRenderer(root);
      renderer.reset(text);
      renderer.finish();
    };
    const observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          const text = waiting.get(target);
          if (!isIntersecting || text === undefined || !(target instanceof HTMLElement)) continue;
          waiting.delete(target);
          show(target, text);
        }
      },
      { root: scroller, rootMargin: '800px' },
    );
    for (const text of texts) {
      const root = article();
      root.className = 'later';
      if (near) {
        waiting.set(root, text);
        observer.observe(root);
      } else {
        show(root, text);
      }
    }
    scroller.scrollTop = scroller.scrollHeight;
    await drawn();
    await drawn();
    const milliseconds = performance.now() - began;
    observer.disconnect();
    return { milliseconds, elements: scroller.querySelectorAll('*').length };
  },

  kinds: () => HOSTILE.map(({ name }) => name),

  async hostile(name, length, mode) {
    const text = HOSTILE.find((kind) => kind.name === name)?.text(length) ?? '';
    scroller.replaceChildren();
    await drawn();
    longTasks.length = 0;
    const renderer = new MarkdownRenderer(article(), {
      changed() {
        scroller.scrollTop = scroller.scrollHeight;
      },
    });
    await drawn();
    if (mode === 'open') renderer.reset(text);
    const step = Math.ceil(text.length / 60);
    for (let at = 0; mode === 'live' && at < text.length; at += step) {
      renderer.append(text.slice(at, at + step));
      await frame();
    }
    renderer.finish();
    let quiet = 0;
    for (let count = 0; count < 600 && quiet < 5; count++) {
      const before = scroller.querySelectorAll('*').length;
      await idle();
      await frame();
      quiet = scroller.querySelectorAll('*').length === before ? quiet + 1 : 0;
    }
    await new Promise((done) => setTimeout(done, 50));
    renderer.destroy();
    return {
      longest: Math.max(0, ...longTasks),
      total: longTasks.reduce((sum, task) => sum + task, 0),
      elements: scroller.querySelectorAll('*').length,
    };
  },

  async show(text) {
    scroller.replaceChildren();
    const renderer = new MarkdownRenderer(article());
    renderer.reset(text);
    renderer.finish();
    await drawn();
  },
};

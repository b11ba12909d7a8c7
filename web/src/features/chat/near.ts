import { flushSync } from 'svelte';
import type { Attachment } from 'svelte/attachments';
import { whenIdle } from '$/lib/idle';

/** Calls back once: when the element comes near to being seen, or earlier, when the page has time for it. */
export type WhenNear = (arrived: () => void) => Attachment<HTMLElement>;

/** So far beyond both edges (of the scroller's height), messages are made ready. */
const MARGIN = '150% 0px';

/** Time (ms) after which a slice of idle work makes room for what else the page has to do. */
const SLICE_MS = 8;
/** While the reader scrolls, the others wait: this long (ms) until the next look. */
const PAUSE_MS = 200;

/**
 * Makes messages ready: those that come near at once, all others when the page is idle, the last ones first. So a
 * long chat shows its end soon, and what searches the page, prints it or reads it aloud has all of it a little later.
 * One observer serves all messages of a scroller: the nearest ancestor that `root` selects. `moving` says whether
 * that is being scrolled. `more` is called once all are ready: it brings further ones, or says that there are none now.
 */
export function nearness(
  root: string,
  moving: () => boolean,
  more: () => boolean,
): {
  when: WhenNear;
  /** Begins with the others, and then with further ones, once what is in sight has been painted. */
  fill(): void;
  /** All of them, now: the page is about to be printed. */
  all(): void;
  destroy(): void;
} {
  const arrivals = new Map<Element, () => void>();
  let observer: IntersectionObserver | undefined;
  let filling = false;
  let gone = false;

  function arrive(target: Element) {
    observer?.unobserve(target);
    const arrived = arrivals.get(target);
    arrivals.delete(target);
    arrived?.();
  }

  function seen(entries: IntersectionObserverEntry[]) {
    for (const { isIntersecting, target } of entries) if (isIntersecting) arrive(target);
  }

  function slice() {
    filling = false;
    if (gone) return;
    if (moving()) {
      setTimeout(fill, PAUSE_MS);
      return;
    }
    if (arrivals.size === 0) {
      if (more()) fill();
      return;
    }
    const until = performance.now() + SLICE_MS;
    const waiting = [...arrivals.keys()];
    for (let next = waiting.pop(); next && performance.now() < until; next = waiting.pop()) {
      arrive(next);
      // At once, so that the clock sees what it costs.
      flushSync();
    }
    fill();
  }

  function fill() {
    if (gone || filling) return;
    filling = true;
    whenIdle(slice);
  }

  return {
    when: (arrived) => (element) => {
      observer ??= new IntersectionObserver(seen, { root: element.closest(root), rootMargin: MARGIN });
      arrivals.set(element, arrived);
      observer.observe(element);
      return () => {
        arrivals.delete(element);
        observer?.unobserve(element);
      };
    },
    fill: () => requestAnimationFrame(() => requestAnimationFrame(fill)),
    all: () => {
      for (const element of [...arrivals.keys()]) arrive(element);
      flushSync();
    },
    destroy: () => {
      gone = true;
      observer?.disconnect();
    },
  };
}

const LINE_PX = 26;
const GAP_PX = 14;
/** Characters of body text are about so wide (px), and lines at most so long (characters). */
const CHARACTER_PX = 8.5;
const LONGEST_LINE = 84;

/** How tall (px) a text will be in a window so wide: until it has been rendered, nobody knows better. */
export function guessHeight(text: string, windowWidth: number): number {
  const columns = Math.max(20, Math.min(LONGEST_LINE, Math.floor(windowWidth / CHARACTER_PX)));
  let height = 0;
  for (let from = 0; from <= text.length; ) {
    const at = text.indexOf('\n', from);
    const end = at === -1 ? text.length : at;
    height += end === from ? GAP_PX : Math.ceil((end - from) / columns) * LINE_PX;
    from = end + 1;
  }
  return Math.max(LINE_PX, height);
}

import type { Attachment } from 'svelte/attachments';

/** Calls back once when the element comes near to being seen. */
export type WhenNear = (arrived: () => void) => Attachment<HTMLElement>;

/** So far beyond both edges (of the scroller's height), messages are made ready. */
const MARGIN = '150% 0px';

/** One observer for all messages of a scroller: the nearest ancestor that `root` selects. */
export function nearness(root: string): { when: WhenNear; destroy(): void } {
  const arrivals = new Map<Element, () => void>();
  let observer: IntersectionObserver | undefined;

  function arrive(entries: IntersectionObserverEntry[]) {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer?.unobserve(target);
      arrivals.get(target)?.();
      arrivals.delete(target);
    }
  }

  return {
    when: (arrived) => (element) => {
      observer ??= new IntersectionObserver(arrive, { root: element.closest(root), rootMargin: MARGIN });
      arrivals.set(element, arrived);
      observer.observe(element);
      return () => {
        arrivals.delete(element);
        observer?.unobserve(element);
      };
    },
    destroy: () => observer?.disconnect(),
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

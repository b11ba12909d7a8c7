import { flushSync } from 'svelte';

/** As `--calm` and `--ease` of the design. */
const MOTION = { duration: 220, easing: 'cubic-bezier(0.2, 0, 0, 1)' };

/**
 * Makes a change of the page, and has an element glide from its old place to its new one. Where the browser can't, or the
 * reader wants no motion, it is there at once. A view transition would do the same, but it holds the page still for as
 * long as it takes its pictures: the first words of an answer would come late.
 */
export function glide(element: HTMLElement | undefined, change: () => void): void {
  const from = element?.getBoundingClientRect().top;
  change();
  if (!element?.animate || from === undefined) return;
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  flushSync();
  const by = from - element.getBoundingClientRect().top;
  if (by !== 0) element.animate({ translate: [`0 ${by}px`, '0 0'] }, MOTION);
}

import { flushSync, tick } from 'svelte';

/**
 * Makes a change of the page as one motion: what has a `view-transition-name` before and after moves from its old place
 * to the new one. Where the browser can't, or the reader wants no motion, the change is made at once.
 */
export function inOneMotion(change: () => void): void {
  if (!document.startViewTransition || matchMedia('(prefers-reduced-motion: reduce)').matches) {
    change();
    return;
  }
  const transition = document.startViewTransition(async () => {
    change();
    flushSync();
    // A part of the page that is loaded already still takes a turn to show.
    await tick();
  });
  // A motion that is left out, as in a hidden tab, is no fault: the change is made all the same.
  transition.ready.catch(() => undefined);
}

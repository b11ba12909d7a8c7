import { tick } from 'svelte';

/** The elements that take the focus when nothing better is left, the best first. */
const HOMES = ['dialog[open]', '[data-focus-home]', '#main'];

/** Whether nothing has the focus: the next Tab would begin at the top of the page. */
export function isFocusLost(): boolean {
  return document.activeElement === null || document.activeElement === document.body;
}

/**
 * Call it after a change that may have taken away what had the focus. Once the page has changed, a focus that was lost
 * goes to `wanted`, else to an open dialog, to the composer, or to the page's main part.
 */
export async function keepFocus(wanted?: () => HTMLElement | null | undefined): Promise<void> {
  await tick();
  if (!isFocusLost()) return;
  wanted?.()?.focus({ preventScroll: true });
  for (const home of HOMES) {
    if (!isFocusLost()) return;
    document.querySelector<HTMLElement>(home)?.focus({ preventScroll: true });
  }
}

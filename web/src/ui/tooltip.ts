import type { Attachment } from 'svelte/attachments';
import { isTabbing, watchTab } from '$/lib/tabbing';
import { placePopover } from './place';

/** How long a pointer rests before the words appear; while one tooltip is open the next comes at once. */
const DELAY_MS = 450;
const WARM_MS = 300;

let bubble: HTMLElement | null = null;
let owner: Element | null = null;
let timer = 0;
let closedAt = Number.NEGATIVE_INFINITY;

/**
 * Shows a control's name beside it on hover and on keyboard focus. For eyes only: the control carries the
 * same words as its accessible name. One element in the top layer serves the whole page, so nothing clips it.
 * `onpress`: a press shows it too, for fingers, until the focus or the pointer leaves.
 */
export function tooltip(text: () => string, { onpress = false } = {}): Attachment<HTMLElement> {
  return (element) => {
    watchTab();
    const enter = (event: PointerEvent) => {
      if (event.pointerType === 'touch') return;
      schedule(element, text, performance.now() - closedAt < WARM_MS ? 0 : DELAY_MS);
    };
    const focus = () => {
      if (isTabbing() && element.matches(':focus-visible')) schedule(element, text, 0);
    };
    const leave = () => hide(element);
    const press = () => {
      if (!onpress) return;
      schedule(element, text, 0);
      // A finger leaves nothing, and in some browsers a pressed button has no focus to lose.
      document.addEventListener('pointerdown', leave, { once: true, capture: true });
    };
    const key = (event: KeyboardEvent) => {
      if (event.key === 'Escape') hide(element);
    };
    element.addEventListener('pointerenter', enter);
    element.addEventListener('pointerleave', leave);
    element.addEventListener('pointerdown', leave);
    element.addEventListener('click', press);
    element.addEventListener('focus', focus);
    element.addEventListener('blur', leave);
    element.addEventListener('keydown', key);
    return () => {
      hide(element);
      element.removeEventListener('pointerenter', enter);
      element.removeEventListener('pointerleave', leave);
      element.removeEventListener('pointerdown', leave);
      element.removeEventListener('click', press);
      element.removeEventListener('focus', focus);
      element.removeEventListener('blur', leave);
      element.removeEventListener('keydown', key);
    };
  };
}

function schedule(element: HTMLElement, text: () => string, delay: number): void {
  window.clearTimeout(timer);
  owner = element;
  timer = window.setTimeout(() => show(element, text()), delay);
}

function show(element: HTMLElement, text: string): void {
  // An open menu says more than its button's name.
  if (!element.isConnected || element.getAttribute('aria-expanded') === 'true') return;
  bubble ??= create();
  if (!bubble.showPopover) return;
  bubble.textContent = text;
  // Shown anew each time: the last to open is the topmost, above any dialog.
  bubble.hidePopover();
  bubble.showPopover();
  placePopover(bubble, element, { side: 'below', align: 'center', gap: 6 });
}

/** Other words for the same control, in the tooltip that is open. */
export function retell(element: HTMLElement, text: string): void {
  if (owner === element && bubble?.matches(':popover-open')) show(element, text);
}

function hide(element: Element): void {
  if (owner !== element) return;
  window.clearTimeout(timer);
  owner = null;
  if (bubble?.matches(':popover-open')) {
    closedAt = performance.now();
    bubble.hidePopover();
  }
}

function create(): HTMLElement {
  const element = document.createElement('div');
  element.className = 'tooltip';
  element.setAttribute('popover', 'manual');
  element.setAttribute('aria-hidden', 'true');
  document.body.append(element);
  return element;
}

import type { MessageView } from '$/state/message.svelte';

/** A message, by its id, and the direction in which its versions were gone through, until its own buttons are there. */
let awaited: { id: string; by: -1 | 1 } | null = null;

/** The buttons that were used go with their message: those of this one are to have the focus in their place. */
export function awaitFocus(id: string, by: -1 | 1): void {
  awaited = { id, by };
}

/** Whether a message has to be there at once, since the focus moves to it. */
export function isAwaited(message: MessageView): boolean {
  return awaited?.id === message.id;
}

/** Gives the focus to the button of the same direction, or to the other one at the end. */
export function takeFocus(message: MessageView, buttons: HTMLElement): void {
  if (awaited?.id !== message.id) return;
  const [before, after] = buttons.querySelectorAll('button');
  const wanted = awaited.by < 0 ? [before, after] : [after, before];
  awaited = null;
  wanted.find((button) => button && !button.disabled)?.focus({ preventScroll: true });
}

import { t } from './i18n.svelte';

/** `mod` is Ctrl, and Cmd on Apple's systems: `mod+shift+o`, `mod+/`, `escape`. */
export type Combination = string;

export interface Shortcut {
  keys: Combination;
  /** False: the key was not meant for it now, and goes its usual way. */
  run: (event: KeyboardEvent) => unknown;
  /** Also while a modal dialog is open. */
  overDialogs?: boolean;
}

export function isApple(platform: string = navigator.platform): boolean {
  return /^(Mac|iP(hone|ad|od))/.test(platform);
}

/** Whether the event is exactly this combination: no further modifier, no key of an input method. */
export function matches(event: KeyboardEvent, keys: Combination, apple = isApple()): boolean {
  if (event.isComposing || event.keyCode === 229) return false;
  const parts = keys.split('+');
  const key = parts.at(-1) ?? '';
  const letter = /^[a-z]$/.test(key);
  if (event.altKey || (apple ? event.metaKey : event.ctrlKey) !== parts.includes('mod')) return false;
  if (apple ? event.ctrlKey : event.metaKey) return false;
  // On many layouts a sign such as "/" needs Shift itself.
  if ((letter || key.length > 1) && event.shiftKey !== parts.includes('shift')) return false;
  const pressed = event.key.toLowerCase();
  // On a layout without Latin letters the key's place stands for its letter.
  return pressed === key || (letter && !/^[a-z]$/.test(pressed) && event.code === `Key${key.toUpperCase()}`);
}

/** Listens for the shortcuts until the returned function is called. */
export function bindKeys(shortcuts: readonly Shortcut[]): () => void {
  const keydown = (event: KeyboardEvent) => {
    if (event.defaultPrevented) return;
    const shortcut = shortcuts.find(({ keys }) => matches(event, keys));
    if (!shortcut) return;
    if (!shortcut.overDialogs && document.querySelector('dialog[open]')) return;
    if (shortcut.run(event) !== false) event.preventDefault();
  };
  window.addEventListener('keydown', keydown);
  return () => window.removeEventListener('keydown', keydown);
}

/** What is printed on the keys, in the order in which they are written, on a keyboard in the page's language. */
export function keyNames(keys: Combination, apple = isApple()): string[] {
  const names: Record<string, string> = apple
    ? { mod: '⌘', shift: '⇧', enter: '↩', escape: 'Esc', arrowup: '↑' }
    : { mod: t('shell.key_ctrl'), shift: t('shell.key_shift'), enter: 'Enter', escape: 'Esc', arrowup: '↑' };
  return keys.split('+').map((key) => names[key] ?? key.toUpperCase());
}

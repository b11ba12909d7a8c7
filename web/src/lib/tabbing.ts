/** Whether the focus was last moved by the Tab key, and not by a pointer, a script or a dialog that opens. */
let tabbing = false;
let watching = false;

/** Begins to listen, once. */
export function watchTab(): void {
  if (watching) return;
  watching = true;
  const set = (event: Event) => {
    tabbing = event instanceof KeyboardEvent && event.key === 'Tab';
  };
  window.addEventListener('keydown', set, { capture: true });
  window.addEventListener('pointerdown', set, { capture: true });
}

export function isTabbing(): boolean {
  return tabbing;
}

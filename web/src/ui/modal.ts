/**
 * Opens a dialog over the page. The dialog itself has the first focus, and no control of it: a screen reader begins with
 * its name, and no ring stands around whatever happens to come first.
 */
export function showCalmly(dialog: HTMLDialogElement): void {
  // What the browser would focus otherwise.
  dialog.setAttribute('autofocus', '');
  dialog.showModal();
  dialog.focus({ preventScroll: true });
}

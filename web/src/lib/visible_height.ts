/**
 * Tells the style sheets, as `--visible-height`, how much of the window is not covered by an on-screen keyboard. Only
 * where the browser lays the keyboard over the page and leaves `dvh` as it is (iOS); elsewhere nothing is set.
 */
export function watchVisibleHeight(): void {
  const { visualViewport: visible } = window;
  if (!visible) return;
  const changed = () => {
    // Zoomed in by two fingers, what is seen is a part of the page: nothing is covered.
    const covered = visible.scale === 1 && window.innerHeight - visible.height > 1;
    const { style } = document.documentElement;
    if (covered) style.setProperty('--visible-height', `${visible.height}px`);
    else style.removeProperty('--visible-height');
    // What the browser has moved up to show the cursor is in sight by itself now.
    if (covered) window.scrollTo(0, 0);
  };
  visible.addEventListener('resize', changed);
}

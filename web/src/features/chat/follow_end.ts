/** This near (px) to its end, a box counts as being there. */
const NEAR = 8;

/**
 * Keeps the end of a box that scrolls in sight while the box's one child grows, until its reader scrolls up, and again once
 * they are back at the end. The box has the class `scrolled` while there is something above. Returns what ends it.
 *
 * A scroll event alone is nobody's: the child may have grown since the box was last moved. Only a way up is the reader's.
 */
export function followEnd(box: HTMLElement): () => void {
  let follows = true;
  let top = 0;

  function keep(): void {
    if (follows) box.scrollTop = box.scrollHeight;
    top = box.scrollTop;
    box.classList.toggle('scrolled', top > 0);
  }

  function scrolled(): void {
    if (box.scrollTop + box.clientHeight >= box.scrollHeight - NEAR) follows = true;
    else if (box.scrollTop < top) follows = false;
    top = box.scrollTop;
    box.classList.toggle('scrolled', top > 0);
  }

  const sizes = new ResizeObserver(keep);
  sizes.observe(box);
  if (box.firstElementChild) sizes.observe(box.firstElementChild);
  box.addEventListener('scroll', scrolled, { passive: true });
  // For the keys that scroll it.
  box.tabIndex = 0;
  return () => {
    sizes.disconnect();
    box.removeEventListener('scroll', scrolled);
    box.removeAttribute('tabindex');
    box.classList.remove('scrolled');
  };
}

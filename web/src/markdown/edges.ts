/** Boxes that scroll sideways. */
const BOXES = 'pre, .table-box, .math-display';
/** A box that can be scrolled by less (CSS pixels) is shown whole. */
const SLACK = 2;

/** For browsers whose styles can't tell where a box goes on: marks each box of a finished answer with the sides where more of it is, and keeps up with its scrolling. */
export function markEdges(root: HTMLElement): () => void {
  const boxes = [...root.querySelectorAll<HTMLElement>(BOXES)];
  const markAll = () => {
    // Read first, then written: one layout for all.
    const sides = boxes.map(sidesOf);
    for (const [index, box] of boxes.entries()) mark(box, sides[index] ?? [false, false]);
  };
  const scrolled = ({ target }: Event) => {
    if (target instanceof HTMLElement && target.matches(BOXES)) mark(target, sidesOf(target));
  };
  root.addEventListener('scroll', scrolled, { capture: true, passive: true });
  const observer = new ResizeObserver(markAll);
  observer.observe(root);
  return () => {
    root.removeEventListener('scroll', scrolled, { capture: true });
    observer.disconnect();
  };
}

function sidesOf(box: HTMLElement): [before: boolean, behind: boolean] {
  // From right to left it counts down from zero.
  const at = Math.abs(box.scrollLeft);
  return [at > SLACK, at + box.clientWidth < box.scrollWidth - SLACK];
}

function mark(box: HTMLElement, [before, behind]: [boolean, boolean]): void {
  box.classList.toggle('more-before', before);
  box.classList.toggle('more-behind', behind);
}

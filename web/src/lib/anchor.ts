import { firstBelow } from './stick_place';

/** A box and how far (px) it stands below the upper edge of what scrolls it. */
export interface Anchor {
  element: Element;
  offset: number;
}

/** What is read as one piece: nothing inside of it is looked for. */
const WHOLE = 'p, pre, table, figure, h1, h2, h3, h4, h5, h6';

/**
 * What stands first in sight inside of `content`, from the outermost box to the innermost. The inner ones say more,
 * the outer ones outlive them.
 */
export function firstInSight(content: Element, line: number): Anchor[] {
  const anchors: Anchor[] = [];
  let within: Element | undefined = content;
  while (within) {
    const boxes: HTMLCollection = within.children;
    const bottom = (index: number) => boxes[index]?.getBoundingClientRect().bottom ?? 0;
    const element: Element | undefined = boxes[firstBelow(bottom, boxes.length, line)];
    if (!element) break;
    const offset = element.getBoundingClientRect().top - line;
    anchors.push({ element, offset });
    within = offset < 0 && !element.matches(WHOLE) ? element : undefined;
  }
  return anchors;
}

/** How far (px) the innermost of the anchors that is still there has moved down; null where none is. */
export function driftOf(anchors: readonly Anchor[], line: number): number | null {
  for (const { element, offset } of anchors.toReversed()) {
    if (!element.isConnected || element.getClientRects().length === 0) continue;
    return element.getBoundingClientRect().top - line - offset;
  }
  return null;
}

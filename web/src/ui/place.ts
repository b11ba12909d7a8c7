export type Side = 'above' | 'below';
export type Align = 'start' | 'center' | 'end';

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Room {
  width: number;
  height: number;
}

export interface Place {
  left: number;
  top: number;
  side: Side;
}

const EDGE = 8;

/**
 * Where a floating box of `size` goes beside `anchor`, in px of the window.
 * The wanted side is kept unless the box does not fit there and the other side has more room;
 * the box never leaves the window while it fits into it.
 */
export function placeBeside(
  anchor: Box,
  size: { width: number; height: number },
  room: Room,
  want: { side: Side; align: Align; gap: number },
): Place {
  const above = anchor.top - want.gap - EDGE;
  const below = room.height - (anchor.top + anchor.height) - want.gap - EDGE;
  const fits = size.height <= (want.side === 'below' ? below : above);
  const side = fits ? want.side : below >= above ? 'below' : 'above';
  const top = side === 'below' ? anchor.top + anchor.height + want.gap : anchor.top - want.gap - size.height;
  const left = {
    start: anchor.left,
    center: anchor.left + anchor.width / 2 - size.width / 2,
    end: anchor.left + anchor.width - size.width,
  }[want.align];
  return {
    left: clamp(left, EDGE, room.width - size.width - EDGE),
    top: clamp(top, EDGE, room.height - size.height - EDGE),
    side,
  };
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(value, most));
}

/** Places a popover that is already shown beside its anchor; `start` and `end` follow the writing direction. */
export function placePopover(
  popover: HTMLElement,
  anchor: Element,
  want: { side: Side; align: Align; gap: number },
): void {
  const mirrored = getComputedStyle(anchor).direction === 'rtl';
  const align = mirrored && want.align !== 'center' ? (want.align === 'start' ? 'end' : 'start') : want.align;
  const place = placeBeside(
    anchor.getBoundingClientRect(),
    { width: popover.offsetWidth, height: popover.offsetHeight },
    { width: document.documentElement.clientWidth, height: window.innerHeight },
    { ...want, align },
  );
  popover.style.left = `${Math.round(place.left)}px`;
  popover.style.top = `${Math.round(place.top)}px`;
  popover.dataset.side = place.side;
}

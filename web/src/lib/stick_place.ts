/**
 * Keeps the reader's place in a list that grows: what is decided, apart from any page.
 *
 * The story: a list is either followed to its end (`end`), held so that one element stays where it is (`hold`), or
 * read (`free`), where whatever is first in sight stays where it is. Each of them has a target, the position that
 * keeps its promise in the list as it is laid out now. `Stick` applies this to a scroller.
 *
 * **Invariant:** only the reader ends `end` and `hold`. A scroll event alone is nobody's: a browser moves the
 * position by itself when a list shrinks, and tells of it when the list has grown again.
 */

/** Positions are fractions on scaled screens: so far apart (px), they still are the same. */
const SLACK = 1.5;

export interface Geometry {
  /** Where the scroller is, in px. */
  top: number;
  /** Where it could be at most. */
  max: number;
}

export interface Place {
  readonly mode: 'end' | 'hold' | 'free';
  /** The position last written, until the reader leaves it. */
  readonly own: number | null;
  /** The position that a smooth scroll is under way to. */
  readonly glide: number | null;
}

export const AT_END: Place = { mode: 'end', own: null, glide: null };

/** The reader is somewhere: a new place each time, even if it was a free one before. */
export const free = (): Place => ({ mode: 'free', own: null, glide: null });

export const same = (a: number, b: number) => Math.abs(a - b) <= SLACK;

/**
 * What a scroll event means: the place itself if it says nothing, or a new one. `reader`: there is reason to believe
 * that somebody moves the list.
 */
export function scrolled(place: Place, { top, max }: Geometry, reader: boolean): Place {
  if (place.own !== null && same(top, place.own)) return place;
  // On the way to its end, a smooth scroll is where it should be; past the end, a list bounces.
  if (place.glide !== null || (place.mode === 'end' && top >= max - SLACK)) return place;
  if (place.mode !== 'free' && !reader) return place;
  return free();
}

/** The reader has begun to move the list, by wheel, finger or key: known before the position changes. */
export function reached(place: Place, { max }: Geometry, up: boolean): Place {
  if (max <= SLACK) return place;
  // Nothing is below the end.
  return place.mode === 'end' && !up ? place : free();
}

/** After a change of size: the place, and the position to write if one is due. */
export function resized(place: Place, top: number, target: number): { place: Place; to: number | null } {
  if (place.glide !== null && same(place.glide, target) && !same(top, target)) return { place, to: null };
  const rested = place.glide === null ? place : { ...place, glide: null };
  return same(top, target) ? { place: rested, to: null } : { place: rested, to: target };
}

/** What a key does to a list: moves it up or down, to its end, or lets something else move it, such as a search. */
export type Push = 'up' | 'down' | 'end' | 'search';

export function pushOf(
  event: Pick<KeyboardEvent, 'key' | 'shiftKey' | 'ctrlKey' | 'metaKey' | 'altKey'>,
): Push | null {
  const { key, shiftKey, altKey } = event;
  const command = event.ctrlKey || event.metaKey;
  if (altKey) return null;
  if (key === 'F3' || (command && /^[fg]$/i.test(key))) return 'search';
  // Ctrl+Home and Cmd+Up go all the way.
  if (key === 'End' || (command && key === 'ArrowDown')) return 'end';
  if (key === 'Home' || key === 'ArrowUp' || key === 'PageUp') return 'up';
  if (key === 'ArrowDown' || key === 'PageDown') return 'down';
  if (key === ' ' && !command) return shiftKey ? 'up' : 'down';
  return null;
}

/** The index of the first box whose end lies below `line`; boxes follow one another downwards. */
export function firstBelow(bottoms: (index: number) => number, count: number, line: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bottoms(middle) <= line) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Keeps the reader's place in a list that grows at its end.
 *
 * The story: a list is either followed (`end`), held so that one element stays where it is (`hold`), or left alone
 * (`free`). Growth is noticed by a ResizeObserver, which runs after layout and before paint: the geometry is read
 * once, the position is written at most once, and nobody sees the step between.
 *
 * **Invariant:** a scroll event is taken for the reader's unless the position is the one last written. There are no
 * timers, so a busy page cannot mistake one for the other.
 */

/** So near to the end (px), a reader who scrolls down wants to follow again. */
export const NEAR_END = 60;
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
  /** The position last seen. */
  readonly top: number;
  /** The position last written, until the reader leaves it. */
  readonly own: number | null;
  /** The end that a smooth scroll is under way to. */
  readonly glide: number | null;
}

export const AT_END: Place = { mode: 'end', top: 0, own: null, glide: null };

const same = (a: number, b: number) => Math.abs(a - b) <= SLACK;

/** What a scroll event means. */
export function scrolled(place: Place, { top, max }: Geometry): Place {
  if (place.own !== null && same(top, place.own)) return { ...place, top };
  // A list that shrank pulls its follower up with it.
  if (place.mode === 'end' && same(top, max)) return { mode: 'end', top, own: null, glide: null };
  if (top < place.top - SLACK) return { mode: 'free', top, own: null, glide: null };
  if (place.glide !== null) return { ...place, top };
  if (top > place.top && max - top <= NEAR_END) return { mode: 'end', top, own: null, glide: null };
  return { ...place, mode: place.mode === 'hold' ? 'free' : place.mode, top, own: null };
}

/** The reader has begun to move up (wheel, finger, key): known before the position changes. */
export function reached(place: Place, { max }: Geometry): Place {
  if (max <= SLACK) return place;
  return { ...place, mode: 'free', own: null, glide: null };
}

/** After a change of size: the place, and the position to write if one is due. */
export function resized(place: Place, { top, max }: Geometry): { place: Place; to: number | null } {
  if (place.mode !== 'end') return { place, to: null };
  if (place.glide !== null && same(place.glide, max)) return { place, to: null };
  if (same(top, max)) return { place: { ...place, glide: null }, to: null };
  return { place: { ...place, glide: null }, to: max };
}

/** What a key does to a scroller that has the focus. */
export function scrollsUp(event: Pick<KeyboardEvent, 'key' | 'shiftKey'>): boolean {
  return (
    event.key === 'ArrowUp' ||
    event.key === 'PageUp' ||
    event.key === 'Home' ||
    (event.key === ' ' && event.shiftKey)
  );
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

export interface StickOptions {
  /** Told when following begins or ends. */
  onfollow?(following: boolean): void;
  /** Told once the reader's scrolling has come to rest. */
  onrest?(): void;
}

/** Applies the decisions above to a scroller and the list inside it. */
export class Stick {
  #place: Place = AT_END;
  #held: { element: Element; offset: number } | null = null;
  #touchY = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;
  readonly #scroller: HTMLElement;
  readonly #options: StickOptions;
  readonly #sizes: ResizeObserver;
  readonly #listening = new AbortController();

  constructor(scroller: HTMLElement, content: Element, options: StickOptions = {}) {
    this.#scroller = scroller;
    this.#options = options;
    this.#anchoring();
    this.#sizes = new ResizeObserver(() => this.#resized());
    this.#sizes.observe(content);
    this.#sizes.observe(scroller);
    const on = { passive: true, signal: this.#listening.signal };
    scroller.addEventListener('scroll', () => this.#become(scrolled(this.#place, this.#geometry())), on);
    if ('onscrollend' in window) scroller.addEventListener('scrollend', () => options.onrest?.(), on);
    else scroller.addEventListener('scroll', () => this.#restSoon(), on);
    scroller.addEventListener('wheel', (event) => this.#wheel(event), on);
    scroller.addEventListener('touchstart', (event) => this.#touchStart(event), on);
    scroller.addEventListener('touchmove', (event) => this.#touchMove(event), on);
    scroller.addEventListener('keydown', (event) => this.#key(event), on);
  }

  get following(): boolean {
    return this.#place.mode === 'end';
  }

  /** Goes to the end and follows it from here on. A smooth way is taken only where motion is welcome. */
  toEnd({ smooth = false } = {}): void {
    const { top, max } = this.#geometry();
    const gliding = smooth && !same(top, max) && !matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.#held = null;
    this.#become({ mode: 'end', top, own: null, glide: gliding ? max : null });
    if (gliding) this.#scroller.scrollTo({ top: max, behavior: 'smooth' });
    else this.#write(max);
  }

  /** Keeps `element` so many px below the scroller's upper edge, until the reader scrolls. */
  hold(element: Element, offset: number): void {
    this.#held = { element, offset };
    this.#become({ ...this.#place, mode: 'hold', glide: null });
    this.#keepHeld();
  }

  /** The first of the `elements` in sight, and its distance from the scroller's upper edge. */
  firstInSight<T extends Element>(elements: ArrayLike<T>): { element: T; offset: number } | null {
    const line = this.#scroller.getBoundingClientRect().top;
    const bottom = (index: number) => elements[index]?.getBoundingClientRect().bottom ?? 0;
    const element = elements[firstBelow(bottom, elements.length, line)];
    return element ? { element, offset: element.getBoundingClientRect().top - line } : null;
  }

  destroy(): void {
    this.#listening.abort();
    this.#sizes.disconnect();
    clearTimeout(this.#rest);
  }

  /** Where the browser does not say when scrolling ends. */
  #restSoon(): void {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#options.onrest?.(), 150);
  }

  #geometry(): Geometry {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return { top: scrollTop, max: scrollHeight - clientHeight };
  }

  #become(place: Place): void {
    const before = this.#place;
    this.#place = place;
    if (place.mode === before.mode) return;
    if (place.mode !== 'hold') this.#held = null;
    this.#anchoring();
    this.#options.onfollow?.(place.mode === 'end');
  }

  /** The browser keeps a free reader's place while things above change size; two keepers would fight. */
  #anchoring(): void {
    this.#scroller.style.overflowAnchor = this.#place.mode === 'free' ? 'auto' : 'none';
  }

  #write(top: number): void {
    this.#scroller.scrollTop = top;
    // Read back: the browser rounds and clamps.
    const own = this.#scroller.scrollTop;
    this.#place = { ...this.#place, top: own, own };
  }

  #resized(): void {
    if (this.#place.mode === 'hold') {
      this.#keepHeld();
      return;
    }
    const { place, to } = resized(this.#place, this.#geometry());
    this.#place = place;
    if (to !== null) this.#write(to);
  }

  #keepHeld(): void {
    if (!this.#held?.element.isConnected) return;
    const line = this.#scroller.getBoundingClientRect().top;
    const off = this.#held.element.getBoundingClientRect().top - line - this.#held.offset;
    if (Math.abs(off) > 0.5) this.#write(this.#scroller.scrollTop + off);
  }

  #moveUp(target: EventTarget | null): void {
    if (this.#place.mode === 'free' || this.#takesItself(target)) return;
    this.#become(reached(this.#place, this.#geometry()));
  }

  /** Whether a box between target and scroller has room to move up itself. */
  #takesItself(target: EventTarget | null): boolean {
    let element = target instanceof Element ? target : null;
    while (element && element !== this.#scroller) {
      if (element.scrollTop > 0) return true;
      element = element.parentElement;
    }
    return false;
  }

  #wheel(event: WheelEvent): void {
    // With Ctrl it zooms; sideways it moves a table.
    if (event.ctrlKey || event.deltaY >= 0 || Math.abs(event.deltaX) > -event.deltaY) return;
    this.#moveUp(event.target);
  }

  #touchStart(event: TouchEvent): void {
    this.#touchY = event.touches[0]?.clientY ?? 0;
  }

  #touchMove(event: TouchEvent): void {
    const y = event.touches[0]?.clientY ?? this.#touchY;
    if (event.touches.length === 1 && y > this.#touchY + 4) this.#moveUp(event.target);
    this.#touchY = Math.min(y, this.#touchY);
  }

  #key(event: KeyboardEvent): void {
    const target = event.target;
    if (event.defaultPrevented || !scrollsUp(event)) return;
    if (
      target instanceof HTMLElement &&
      target.closest('input, textarea, select, [contenteditable], [role="menu"]')
    )
      return;
    // On a button, Space presses it.
    if (event.key === ' ' && target !== this.#scroller) return;
    this.#moveUp(target);
  }
}

import { type Anchor, driftOf, firstInSight } from './anchor';
import {
  AT_END,
  free,
  type Geometry,
  type Place,
  pushOf,
  reached,
  resized,
  same,
  scrolled,
} from './stick_place';

export interface StickOptions {
  /** Told when following begins or ends. */
  onfollow?(following: boolean): void;
  /** Told once scrolling has come to rest. */
  onrest?(): void;
}

/**
 * A list that has been left alone for this time (ms) gives a browser no reason to move it by itself: then a search that
 * was begun in the browser's menu, or a screen reader, is taken for the reader it works for.
 */
const CALM_MS = 2000;

/** A movement of the reader's is over when nothing has moved for this time (ms). */
const QUIET_MS = 150;

/** For this time (ms) after a movement a browser may have no anchor yet: two frames, on a slow machine. */
const UNANCHORED_MS = 100;

/** Whether the browser can keep what is read in its place. */
const ANCHORS = globalThis.CSS?.supports?.('overflow-anchor', 'auto') ?? false;

/**
 * Applies the decisions of `stick_place` to a scroller and the list inside it.
 *
 * Growth is noticed by a ResizeObserver, which runs after layout and before paint: the geometry is read once, the
 * position is written at most once, and nobody sees the step between. Where the browser anchors what it scrolls, that is
 * done before, and is enough for `free`: a position written by a script adds to a smooth scroll that is under way, or ends
 * it.
 */
export class Stick {
  #place: Place = AT_END;
  /** What is kept where it is, in `hold` and `free`. Where the browser does that in `free`: what was in sight when it was moved. */
  #anchors: readonly Anchor[] = [];
  /** What may not leave the view because the list is followed, unless somebody has asked for that. */
  #until: Anchor | null = null;
  #asked = false;
  #movedAt = Number.NEGATIVE_INFINITY;
  #stirredAt = Number.NEGATIVE_INFINITY;
  #pressed = false;
  /** The reader moves the list. */
  #stirring = false;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #touchY = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;
  readonly #scroller: HTMLElement;
  readonly #content: Element;
  readonly #options: StickOptions;
  readonly #sizes: ResizeObserver;
  readonly #listening = new AbortController();

  constructor(scroller: HTMLElement, content: Element, options: StickOptions = {}) {
    this.#scroller = scroller;
    this.#content = content;
    this.#options = options;
    this.#sizes = new ResizeObserver(() => this.#stir());
    this.#sizes.observe(content);
    this.#sizes.observe(scroller);
    this.#listen();
  }

  /** Whether the end is followed. */
  get following(): boolean {
    return this.#place.mode === 'end';
  }

  /** Whether the end is in sight, followed or not. */
  get atEnd(): boolean {
    const { top, max } = this.#geometry();
    return same(top, max);
  }

  /** Whether the list is being scrolled: what changes its size now would cut a smooth movement short. */
  get moving(): boolean {
    return this.#stirring || this.#pressed || this.#place.glide !== null;
  }

  /** Somebody wants to be at the end and follow it, until they scroll. A smooth way is taken only where motion is welcome. */
  toEnd({ smooth = false } = {}): void {
    this.#asked = true;
    this.#until = null;
    this.#become(AT_END);
    this.#go(this.#geometry().max, smooth);
  }

  /** A list that has just been opened is at its end, and stays there while it is being laid out. */
  startAtEnd(): void {
    this.#asked = false;
    this.#become(AT_END);
    this.#stir();
  }

  /** From now on the list grows below `element`: it is followed until that stands this many px below the upper edge. */
  followUntil(element: Element, offset: number): void {
    if (!this.following || this.#asked) return;
    this.#until = { element, offset };
    this.#keep();
  }

  /** Keeps `element` so many px below the scroller's upper edge, until the reader scrolls. */
  hold(element: Element, offset: number, { smooth = false } = {}): void {
    this.#until = null;
    this.#anchors = [{ element, offset }];
    this.#become({ mode: 'hold', own: null, glide: null });
    this.#go(this.#target(this.#geometry()), smooth);
  }

  /** Lets `change` put something above `first`, with which the list begins: what is read stays where it is. */
  above(first: Element | null, change: () => void): void {
    const { top } = this.#geometry();
    // At its very beginning no browser anchors a list.
    const isLoose = this.#place.mode === 'free' && (top <= 0 || !ANCHORS);
    if (isLoose && (top > 0 || first === null)) this.#anchors = this.firstInSight();
    else if (isLoose && first)
      this.#anchors = [{ element: first, offset: first.getBoundingClientRect().top - this.#line }];
    change();
    if (isLoose) this.#write(this.#target(this.#geometry()));
    else this.#keep();
  }

  /** What stands first in sight, from the outermost box inside the list to the innermost. */
  firstInSight(): readonly Anchor[] {
    return firstInSight(this.#content, this.#line);
  }

  destroy(): void {
    this.#listening.abort();
    this.#sizes.disconnect();
    clearTimeout(this.#rest);
    clearTimeout(this.#quiet);
  }

  #listen(): void {
    const on = { passive: true, signal: this.#listening.signal };
    const scroller = this.#scroller;
    scroller.addEventListener('scroll', () => this.#scrolled(), on);
    scroller.addEventListener('contentvisibilityautostatechange', () => this.#stirred(), {
      ...on,
      capture: true,
    });
    scroller.addEventListener('wheel', (event) => this.#wheel(event), on);
    scroller.addEventListener('touchstart', (event) => this.#touchStart(event), on);
    scroller.addEventListener('touchmove', (event) => this.#touchMove(event), on);
    scroller.addEventListener('pointerdown', (event) => this.#press(event), on);
    scroller.addEventListener('focusin', (event) => this.#focus(event), on);
    scroller.addEventListener('click', (event) => this.#click(event), on);
    for (const type of ['pointerup', 'pointercancel']) {
      window.addEventListener(type, () => this.#release(), on);
    }
    // A browser may not tell of a button that was let go over the scrollbar.
    window.addEventListener('pointermove', (event) => event.buttons === 0 && this.#release(), on);
    document.addEventListener('keydown', (event) => this.#key(event), { signal: this.#listening.signal });
    if ('onscrollend' in window) scroller.addEventListener('scrollend', () => this.#rested(), on);
    else scroller.addEventListener('scroll', () => this.#restSoon(), on);
  }

  get #line(): number {
    return this.#scroller.getBoundingClientRect().top;
  }

  #geometry(): Geometry {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return { top: scrollTop, max: Math.max(0, scrollHeight - clientHeight) };
  }

  #become(place: Place): void {
    const before = this.#place;
    this.#place = place;
    if (place.mode === 'free' && !ANCHORS) this.#anchors = this.firstInSight();
    if ((place.mode === 'end') !== (before.mode === 'end')) this.#options.onfollow?.(place.mode === 'end');
  }

  /** The position that keeps the place's promise. */
  #target({ top, max }: Geometry): number {
    if (this.#place.mode === 'end') return max;
    const drift = driftOf(this.#anchors, this.#line) ?? 0;
    return Math.min(max, Math.max(0, top + drift));
  }

  #go(target: number, smooth: boolean): void {
    const { top } = this.#geometry();
    const gliding = smooth && !same(top, target) && !matchMedia('(prefers-reduced-motion: reduce)').matches;
    if (!gliding) {
      this.#write(target);
      return;
    }
    this.#place = { ...this.#place, glide: target };
    this.#scroller.scrollTo({ top: target, behavior: 'smooth' });
  }

  #write(top: number): void {
    this.#scroller.scrollTop = top;
    // Read back: the browser rounds and clamps.
    this.#place = { ...this.#place, own: this.#scroller.scrollTop };
  }

  /** Brings the list to where it should be, after whatever has changed. */
  #keep(): void {
    if (ANCHORS && this.#place.mode === 'free') return;
    const geometry = this.#geometry();
    this.#stopFollowing(geometry);
    const { place, to } = resized(this.#place, geometry.top, this.#target(geometry));
    this.#place = place;
    if (to !== null) this.#write(to);
  }

  /** Following was nobody's wish: what was to stay in view would leave it now. */
  #stopFollowing({ top, max }: Geometry): void {
    const until = this.#until;
    if (until === null || !this.following) return;
    const limit = top + (driftOf([until], this.#line) ?? 0);
    if (same(limit, max) || max < limit) return;
    this.#until = null;
    // Of an answer longer than the view, the question is out of sight already: then nothing moves.
    if (limit < top && !same(limit, top)) this.#become(free());
    else this.hold(until.element, until.offset);
  }

  #stir(): void {
    this.#stirred();
    this.#steady();
    this.#keep();
  }

  /** Just after a list was moved Firefox has no anchor yet: what gets its size then would move what is read. */
  #steady(): void {
    if (!ANCHORS || this.#place.mode !== 'free' || performance.now() - this.#movedAt > UNANCHORED_MS) return;
    const drift = driftOf(this.#anchors, this.#line) ?? 0;
    if (Math.abs(drift) >= 1) this.#scroller.scrollBy({ top: drift, behavior: 'instant' });
  }

  #stirred(): void {
    this.#stirredAt = performance.now();
  }

  /** The reader moves the list, from now on until nothing has moved for a while. */
  #stirs(): void {
    this.#stirring = true;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      this.#stirring = false;
    }, QUIET_MS);
  }

  #scrolled(): void {
    const calm = performance.now() - this.#stirredAt > CALM_MS;
    const place = scrolled(this.#place, this.#geometry(), this.#pressed || calm);
    // Where the browser keeps the place, it tells of that too.
    if (this.#stirring || (place !== this.#place && !ANCHORS)) this.#stirs();
    if (place !== this.#place) this.#become(place);
    else if (place.mode !== 'free' && place.glide === null) this.#keep();
    if (!ANCHORS || this.#place.mode !== 'free') return;
    this.#anchors = this.firstInSight();
    this.#movedAt = performance.now();
  }

  #rested(): void {
    this.#stirring = false;
    if (this.#place.glide !== null) {
      this.#place = { ...this.#place, glide: null };
      this.#keep();
    }
    this.#options.onrest?.();
  }

  /** Where the browser does not say when scrolling ends. */
  #restSoon(): void {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#rested(), QUIET_MS);
  }

  #push(up: boolean, target: EventTarget | null): void {
    if (this.#takesItself(target, up)) return;
    this.#stirs();
    if (this.#place.mode !== 'free') this.#become(reached(this.#place, this.#geometry(), up));
  }

  /** Whether a box between target and scroller has room to move itself. */
  #takesItself(target: EventTarget | null, up: boolean): boolean {
    let element = target instanceof Element ? target : null;
    while (element && element !== this.#scroller) {
      const { scrollTop, scrollHeight, clientHeight } = element;
      if (up && scrollTop > 0) return true;
      const room = !up && scrollTop + clientHeight < scrollHeight - 1;
      if (room && /auto|scroll/.test(getComputedStyle(element).overflowY)) return true;
      element = element.parentElement;
    }
    return false;
  }

  #wheel(event: WheelEvent): void {
    // With Ctrl it zooms; sideways it moves a table.
    if (event.ctrlKey || event.deltaY === 0 || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    this.#push(event.deltaY < 0, event.target);
  }

  #touchStart(event: TouchEvent): void {
    this.#touchY = event.touches[0]?.clientY ?? 0;
  }

  #touchMove(event: TouchEvent): void {
    const y = event.touches[0]?.clientY ?? this.#touchY;
    if (event.touches.length !== 1 || Math.abs(y - this.#touchY) < 4) return;
    this.#push(y > this.#touchY, event.target);
    this.#touchY = y;
  }

  /** The scrollbar is dragged, a selection is drawn beyond the edge; the middle button scrolls after its release. */
  #press(event: PointerEvent): void {
    // What a finger does, touch events tell.
    if (event.pointerType === 'touch') return;
    this.#pressed = true;
    if (event.button === 1) this.#become(free());
  }

  #release(): void {
    this.#pressed = false;
  }

  /** The focus has gone to something out of sight: the browser brings it there, before this or after. */
  #focus(event: FocusEvent): void {
    const { target } = event;
    if (this.#place.mode === 'free' || target === this.#scroller || !(target instanceof Element)) return;
    const { top, bottom } = target.getBoundingClientRect();
    const line = this.#line;
    const seen = top >= line && bottom <= line + this.#scroller.clientHeight;
    const geometry = this.#geometry();
    const moved = this.#place.glide === null && !same(geometry.top, this.#target(geometry));
    if (!seen || moved) this.#become(free());
  }

  /** Something is opened or closed where it stands: its reader looks there, and not at the list's end. */
  #click({ target }: MouseEvent): void {
    if (this.#place.mode === 'free' || !(target instanceof Element)) return;
    if (target.closest('summary, [aria-expanded]:not([aria-haspopup])')) this.#become(free());
  }

  #key(event: KeyboardEvent): void {
    const push = event.defaultPrevented ? null : pushOf(event);
    const { target } = event;
    if (push === null || !(target instanceof Element)) return;
    if (push === 'search') {
      if (this.#place.mode !== 'free') this.#become(free());
      return;
    }
    const inside = target === this.#scroller || this.#scroller.contains(target);
    // Without a focus, keys go to what was clicked last.
    if (!inside && target !== document.body) return;
    if (target.closest('input, textarea, select, [contenteditable], [role="menu"]')) return;
    // On a button, Space presses it.
    if (event.key === ' ' && target !== this.#scroller && target !== document.body) return;
    if (push !== 'end') {
      this.#push(push === 'up', target);
    } else if (!this.#takesItself(target, false)) {
      event.preventDefault();
      this.toEnd({ smooth: true });
    }
  }
}

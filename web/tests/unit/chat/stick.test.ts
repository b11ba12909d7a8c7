import { describe, expect, it } from 'vitest';
import { AT_END, firstBelow, type Place, pushOf, reached, resized, scrolled } from '$/lib/stick_place';

const MAX = 1_000;
const followed: Place = { mode: 'end', own: MAX, glide: null };
const held: Place = { mode: 'hold', own: 300, glide: null };
const free = (own: number | null = null): Place => ({ mode: 'free', own, glide: null });
const nobody = false;
const reader = true;

describe('a scroll event', () => {
  it('at the position last written is the page’s own, whoever may be moving', () => {
    for (const by of [nobody, reader]) {
      expect(scrolled(followed, { top: MAX, max: MAX }, by)).toBe(followed);
      // The answer has grown since the write: still nobody has scrolled.
      expect(scrolled(followed, { top: MAX, max: MAX + 400 }, by)).toBe(followed);
      expect(scrolled(followed, { top: MAX - 0.5, max: MAX + 400 }, by)).toBe(followed);
      expect(scrolled(free(200), { top: 200, max: MAX }, by)).toEqual(free(200));
    }
  });

  it('that nobody began leaves a followed list followed', () => {
    // As WebKit tells it while a long chat is laid out: the list was shorter for a moment.
    const end: Place = { mode: 'end', own: 18_428, glide: null };
    expect(scrolled(end, { top: 18_230, max: 18_428 }, nobody)).toBe(end);
    expect(resized(end, 18_230, 18_428).to).toBe(18_428);
    expect(scrolled(followed, { top: 0, max: MAX }, nobody)).toBe(followed);
    expect(scrolled(followed, { top: MAX - 40, max: MAX + 200 }, nobody)).toBe(followed);
  });

  it('that nobody began leaves a held element held', () => {
    expect(scrolled(held, { top: 250, max: MAX }, nobody)).toBe(held);
    expect(scrolled(held, { top: 350, max: MAX }, nobody)).toBe(held);
  });

  it('that the reader began lets go, however short the way', () => {
    expect(scrolled(followed, { top: MAX - 3, max: MAX }, reader).mode).toBe('free');
    expect(scrolled(followed, { top: MAX - 40, max: MAX + 200 }, reader).mode).toBe('free');
    expect(scrolled(held, { top: 350, max: MAX }, reader).mode).toBe('free');
  });

  it('is the reader’s where they read, whatever made it: a search, a screen reader', () => {
    const place = free(200);
    for (const top of [0, 199 - 1, 203, MAX]) {
      const next = scrolled(place, { top, max: MAX }, nobody);
      expect(next).toEqual(free());
      expect(next, 'a new place, whose first text is looked for again').not.toBe(place);
    }
  });

  it('never begins to follow by itself', () => {
    for (const top of [MAX - 60, MAX - 1, MAX]) {
      expect(scrolled(free(500), { top, max: MAX }, reader).mode).toBe('free');
    }
  });

  it('at the end, or beyond where a list bounces, keeps following', () => {
    expect(scrolled(followed, { top: 700, max: 700 }, reader)).toBe(followed);
    expect(scrolled(followed, { top: MAX + 30, max: MAX }, reader)).toBe(followed);
  });

  it('on the way of a smooth scroll says nothing', () => {
    const gliding: Place = { mode: 'hold', own: null, glide: MAX };
    expect(scrolled(gliding, { top: 400, max: MAX }, nobody)).toBe(gliding);
    expect(scrolled(gliding, { top: 380, max: MAX }, reader)).toBe(gliding);
  });
});

describe('a wish to move', () => {
  const room = { top: MAX, max: MAX };

  it('up lets go of the end before the position has changed', () => {
    expect(reached(followed, room, true)).toEqual(free());
  });

  it('down does not let go of the end, where nothing is below', () => {
    expect(reached(followed, room, false)).toBe(followed);
  });

  it('lets go of a held element in both directions, and of a smooth way', () => {
    const gliding: Place = { mode: 'hold', own: null, glide: MAX };
    for (const up of [true, false]) {
      expect(reached(held, room, up)).toEqual(free());
      expect(reached(gliding, room, up)).toEqual(free());
    }
  });

  it('means nothing where nothing can be scrolled', () => {
    expect(reached(AT_END, { top: 0, max: 0 }, true)).toBe(AT_END);
  });
});

describe('a key', () => {
  const push = (key: string, more: Partial<KeyboardEvent> = {}) =>
    pushOf({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });

  it('moves the list up or down', () => {
    expect(['ArrowUp', 'PageUp', 'Home'].map((key) => push(key))).toEqual(['up', 'up', 'up']);
    expect(['ArrowDown', 'PageDown', ' '].map((key) => push(key))).toEqual(['down', 'down', 'down']);
    expect(push(' ', { shiftKey: true })).toBe('up');
    expect([push('ArrowUp', { metaKey: true }), push('Home', { ctrlKey: true })]).toEqual(['up', 'up']);
  });

  it('goes to the end', () => {
    expect([push('End'), push('End', { ctrlKey: true }), push('ArrowDown', { metaKey: true })]).toEqual([
      'end',
      'end',
      'end',
    ]);
  });

  it('begins a search, which moves the list without a word', () => {
    expect([push('f', { ctrlKey: true }), push('F', { metaKey: true }), push('F3')]).toEqual([
      'search',
      'search',
      'search',
    ]);
    expect([push('g', { ctrlKey: true }), push('G', { metaKey: true, shiftKey: true })]).toEqual([
      'search',
      'search',
    ]);
  });

  it('has no other meaning', () => {
    expect([push('a'), push('f'), push('Enter'), push('Tab'), push('ArrowUp', { altKey: true })]).toEqual([
      null,
      null,
      null,
      null,
      null,
    ]);
  });
});

describe('a change of size', () => {
  it('is followed with one write', () => {
    expect(resized(followed, MAX, MAX + 80).to).toBe(MAX + 80);
    expect(resized(followed, MAX, MAX).to).toBeNull();
  });

  it('above a reader is made good for', () => {
    expect(resized(free(200), 200, 330).to).toBe(330);
    expect(resized(free(200), 200, 200)).toEqual({ place: free(200), to: null });
  });

  it('does not disturb a smooth scroll to the same place, and cuts one short whose place has moved', () => {
    const gliding: Place = { mode: 'end', own: null, glide: MAX };
    expect(resized(gliding, 400, MAX).to).toBeNull();
    expect(resized(gliding, 400, MAX + 30)).toMatchObject({ to: MAX + 30, place: { glide: null } });
    expect(resized(gliding, MAX, MAX)).toMatchObject({ to: null, place: { glide: null } });
  });
});

it('finds the first box that reaches below a line', () => {
  const bottoms = [10, 20, 30, 40];
  const find = (line: number) => firstBelow((index) => bottoms[index] ?? 0, bottoms.length, line);
  expect([find(-5), find(10), find(25), find(40)]).toEqual([0, 1, 2, 4]);
});

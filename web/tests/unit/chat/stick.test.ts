import { describe, expect, it } from 'vitest';
import { AT_END, firstBelow, NEAR_END, type Place, reached, resized, scrolled, scrollsUp } from '$/lib/stick';

const MAX = 1_000;
const followed: Place = { mode: 'end', top: MAX, own: MAX, glide: null };
const free = (top: number): Place => ({ mode: 'free', top, own: null, glide: null });

describe('a scroll event', () => {
  it('at the position last written is the page’s own', () => {
    expect(scrolled(followed, { top: MAX, max: MAX })).toEqual(followed);
    // The answer has grown since the write: still nobody has scrolled.
    expect(scrolled(followed, { top: MAX, max: MAX + 400 }).mode).toBe('end');
    expect(scrolled(followed, { top: MAX - 0.5, max: MAX + 400 }).mode).toBe('end');
  });

  it('upwards, however short, lets go', () => {
    expect(scrolled(followed, { top: MAX - 3, max: MAX }).mode).toBe('free');
    expect(scrolled(followed, { top: 0, max: MAX }).mode).toBe('free');
  });

  it('upwards lets go in the middle of growth', () => {
    expect(scrolled(followed, { top: MAX - 40, max: MAX + 200 }).mode).toBe('free');
  });

  it('upwards near the end does not follow again', () => {
    expect(scrolled(free(MAX - 10), { top: MAX - 30, max: MAX }).mode).toBe('free');
  });

  it('downwards follows again within 60 px of the end, not before', () => {
    expect(scrolled(free(500), { top: MAX - NEAR_END - 1, max: MAX }).mode).toBe('free');
    expect(scrolled(free(500), { top: MAX - NEAR_END, max: MAX }).mode).toBe('end');
  });

  it('that comes from the list having shrunk keeps following', () => {
    expect(scrolled(followed, { top: 700, max: 700 }).mode).toBe('end');
  });

  it('on the way to the end of a smooth scroll is no reader’s', () => {
    const gliding: Place = { mode: 'end', top: 200, own: null, glide: MAX };
    const under = scrolled(gliding, { top: 400, max: MAX });
    expect(under).toMatchObject({ mode: 'end', glide: MAX, top: 400 });
    expect(scrolled(under, { top: MAX, max: MAX })).toMatchObject({ mode: 'end', glide: null });
    expect(scrolled(under, { top: 380, max: MAX })).toMatchObject({ mode: 'free', glide: null });
  });

  it('ends the holding of a remembered place', () => {
    const held: Place = { mode: 'hold', top: 300, own: 300, glide: null };
    expect(scrolled(held, { top: 300, max: MAX }).mode).toBe('hold');
    expect(scrolled(held, { top: 350, max: MAX }).mode).toBe('free');
    expect(scrolled(held, { top: 250, max: MAX }).mode).toBe('free');
    expect(scrolled(held, { top: MAX - 5, max: MAX }).mode).toBe('end');
  });
});

describe('a wish to go up', () => {
  it('lets go before the position has changed, and the next event keeps it so', () => {
    const wished = reached(followed, { top: MAX, max: MAX });
    expect(wished.mode).toBe('free');
    // The first step of an animated wheel turn is a fraction of a pixel.
    expect(scrolled(wished, { top: MAX - 1, max: MAX }).mode).toBe('free');
  });

  it('means nothing where nothing can be scrolled', () => {
    expect(reached(AT_END, { top: 0, max: 0 }).mode).toBe('end');
  });

  it('is what these keys say', () => {
    const key = (name: string, shiftKey = false) => scrollsUp({ key: name, shiftKey });
    expect(['ArrowUp', 'PageUp', 'Home'].every((name) => key(name))).toBe(true);
    expect(key(' ', true)).toBe(true);
    expect([key(' '), key('ArrowDown'), key('End'), key('a')]).toEqual([false, false, false, false]);
  });
});

describe('a change of size', () => {
  it('is followed with one write', () => {
    expect(resized(followed, { top: MAX, max: MAX + 80 }).to).toBe(MAX + 80);
    expect(resized(followed, { top: MAX, max: MAX }).to).toBeNull();
  });

  it('leaves a reader alone who is elsewhere', () => {
    expect(resized(free(200), { top: 200, max: MAX + 80 })).toEqual({ place: free(200), to: null });
  });

  it('does not disturb a smooth scroll to the same end, and cuts one short whose end has moved', () => {
    const gliding: Place = { mode: 'end', top: 400, own: null, glide: MAX };
    expect(resized(gliding, { top: 400, max: MAX }).to).toBeNull();
    expect(resized(gliding, { top: 400, max: MAX + 30 })).toMatchObject({
      to: MAX + 30,
      place: { glide: null },
    });
  });
});

it('finds the first box that reaches below a line', () => {
  const bottoms = [10, 20, 30, 40];
  const find = (line: number) => firstBelow((index) => bottoms[index] ?? 0, bottoms.length, line);
  expect([find(-5), find(10), find(25), find(40)]).toEqual([0, 1, 2, 4]);
});

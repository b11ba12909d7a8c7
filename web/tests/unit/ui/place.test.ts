import { describe, expect, it } from 'vitest';
import { placeBeside } from '$/ui/place';

const room = { width: 400, height: 300 };
const size = { width: 100, height: 80 };
const below = { side: 'below', align: 'start', gap: 4 } as const;

describe('placeBeside', () => {
  it('keeps the wanted side and edge where there is room', () => {
    const anchor = { left: 50, top: 20, width: 30, height: 20 };
    expect(placeBeside(anchor, size, room, below)).toEqual({ left: 50, top: 44, side: 'below' });
    expect(placeBeside({ ...anchor, left: 200 }, size, room, { ...below, align: 'end' }).left).toBe(130);
    expect(placeBeside({ ...anchor, left: 200 }, size, room, { ...below, align: 'center' }).left).toBe(165);
  });

  it('turns over at the edge of the window', () => {
    const low = { left: 50, top: 270, width: 30, height: 20 };
    expect(placeBeside(low, size, room, below)).toEqual({ left: 50, top: 186, side: 'above' });
    const high = { ...low, top: 10 };
    expect(placeBeside(high, size, room, { ...below, side: 'above' }).side).toBe('below');
  });

  it('never leaves the window', () => {
    const corner = { left: 390, top: 150, width: 10, height: 10 };
    expect(placeBeside(corner, size, room, below).left).toBe(292);
    expect(placeBeside({ ...corner, left: -40 }, size, room, below).left).toBe(8);
    // Too tall for either side: the side with more room, from the window's edge on.
    const tall = placeBeside(corner, { width: 100, height: 280 }, room, below);
    expect(tall).toEqual({ left: 292, top: 8, side: 'above' });
  });
});

import { describe, expect, test } from 'vitest';
import { daysBetween, periodOf, untilMidnight } from '$/lib/time';

const now = new Date(2026, 2, 12, 0, 30);

describe('periods', () => {
  test.each([
    [new Date(2026, 2, 12, 0, 0), 'today'],
    [new Date(2026, 2, 13, 9, 0), 'today'],
    [new Date(2026, 2, 11, 23, 59), 'yesterday'],
    [new Date(2026, 2, 5, 0, 0), 'week'],
    [new Date(2026, 2, 4, 23, 59), 'month'],
    [new Date(2026, 1, 10, 0, 0), 'month'],
    [new Date(2026, 1, 9, 23, 59), '2026-02'],
    [new Date(2025, 11, 31), '2025-12'],
  ])('%s', (moment, period) => {
    expect(periodOf(moment, now)).toBe(period);
  });

  test('days are the calendar’s, whatever the hour', () => {
    expect(daysBetween(new Date(2026, 2, 11, 23, 59), new Date(2026, 2, 12, 0, 1))).toBe(1);
    expect(daysBetween(new Date(2026, 2, 12), new Date(2026, 1, 12))).toBe(-28);
    // Whole years of days, the 23 and 25 hours of clock changes among them.
    for (let day = 0; day < 730; day++) {
      expect(daysBetween(new Date(2026, 0, 1, 12), new Date(2026, 0, 1 + day, 0, 30))).toBe(day);
    }
  });

  test('midnight ends the day', () => {
    expect(untilMidnight(new Date(2026, 5, 12, 23, 59, 30))).toBe(30_000);
    const later = new Date(now.getTime() + untilMidnight(now));
    expect([later.getDate(), later.getHours(), later.getMinutes()]).toEqual([13, 0, 0]);
  });
});

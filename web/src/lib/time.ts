// Calendar arithmetic in the zone of the reader. A day has 23 to 25 hours, so nothing here counts hours.

/** `today`, `yesterday`, `week` (up to 7 days ago), `month` (up to 30), or the month itself as `YYYY-MM`. */
export type Period = 'today' | 'yesterday' | 'week' | 'month' | `${number}-${string}`;

/** Whole calendar days from one moment's day to another's; negative backwards. */
export function daysBetween(from: Date, to: Date): number {
  const day = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000;
  return day(to) - day(from);
}

/** The period that a moment belongs to. What lies ahead (a server's clock may) is today. */
export function periodOf(moment: Date, now: Date): Period {
  const days = daysBetween(moment, now);
  if (days <= 0) return 'today';
  if (days === 1) return 'yesterday';
  if (days <= 7) return 'week';
  if (days <= 30) return 'month';
  return `${moment.getFullYear()}-${String(moment.getMonth() + 1).padStart(2, '0')}`;
}

/** Milliseconds until the next calendar day begins. */
export function untilMidnight(now: Date): number {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1).getTime() - now.getTime();
}

/** The part of the day by which people greet: from 4, 12 and 18 o'clock. */
export function dayPart(now: Date): 'morning' | 'afternoon' | 'evening' {
  const hour = now.getHours();
  if (hour < 4 || hour >= 18) return 'evening';
  return hour < 12 ? 'morning' : 'afternoon';
}

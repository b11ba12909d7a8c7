import { i18n } from '$/lib/i18n.svelte';

type Width = 'long' | 'narrow';

function counted(n: number, unit: 'second' | 'minute', unitDisplay: Width): string {
  return new Intl.NumberFormat(i18n.tag, { style: 'unit', unit, unitDisplay }).format(n);
}

/** A time (ms) in whole seconds, and minutes where it has some: `4 seconds`, `2 minutes, 5 seconds`; narrow: `2m 5s`. */
export function durationOf(milliseconds: number, width: Width = 'long'): string {
  const all = Math.max(1, Math.round(milliseconds / 1000));
  const minutes = Math.floor(all / 60);
  const seconds = all % 60;
  const units = [
    ...(minutes > 0 ? [counted(minutes, 'minute', width)] : []),
    ...(seconds > 0 ? [counted(seconds, 'second', width)] : []),
  ];
  return new Intl.ListFormat(i18n.tag, { type: 'unit', style: width }).format(units);
}

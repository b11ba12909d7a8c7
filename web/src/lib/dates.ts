import { i18n } from './i18n.svelte';

type Moment = Date | string;

/** A day, as `12 March 2026`. */
export function formatDate(moment: Moment): string {
  return new Intl.DateTimeFormat(i18n.tag, { dateStyle: 'long' }).format(new Date(moment));
}

/** A time of day, as `14:05`. */
export function formatTime(moment: Moment): string {
  return new Intl.DateTimeFormat(i18n.tag, { timeStyle: 'short' }).format(new Date(moment));
}

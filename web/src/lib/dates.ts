import { i18n } from './i18n.svelte';

/** A day and a time of it, as `12 March 2026 at 14:05`. */
export function formatMoment(moment: Date | string): string {
  return new Intl.DateTimeFormat(i18n.tag, { dateStyle: 'long', timeStyle: 'short' }).format(
    new Date(moment),
  );
}

import { CircleAlert, Clock, type IconShape, KeyRound, SearchX, Unplug } from '$/ui/icons';

/**
 * What helps after an answer failed: to wait, to ask another model, somebody who runs the server, or only to try again.
 */
export type Remedy = 'wait' | 'model' | 'administrator' | 'retry';

const REMEDIES: Readonly<Record<string, Remedy>> = {
  rate_limited: 'wait',
  provider_rate_limited: 'wait',
  context_too_long: 'model',
  model_not_found: 'model',
  provider_rejected: 'model',
  upstream_invalid: 'model',
  provider_auth: 'administrator',
  provider_no_credit: 'administrator',
  provider_untrusted: 'administrator',
  storage_full: 'administrator',
};

/** Codes of faults on the way: the answer itself was well. */
const BROKEN_OFF: readonly string[] = [
  'upstream_truncated',
  'provider_unreachable',
  'provider_timeout',
  'stream_unreadable',
];

/** What to do about an error with this code. */
export function remedyOf(code: string): Remedy {
  return Object.hasOwn(REMEDIES, code) ? (REMEDIES[code] ?? 'retry') : 'retry';
}

/** A provider that has too many requests is asked again after this many seconds, if it has named no other time. */
const PAUSE_S = 20;
/** Nobody waits longer than this before an open page. */
const LONGEST_PAUSE_S = 300;

/** Seconds after which what failed is asked again by itself; null where that would be too long to wait for. */
export function pauseAfter({ retryAfter }: { retryAfter?: number }): number | null {
  if (retryAfter === undefined) return PAUSE_S;
  return retryAfter > LONGEST_PAUSE_S ? null : Math.max(1, Math.ceil(retryAfter));
}

/** The sign of an error: another one for each thing to do. */
export function signOf(code: string): IconShape {
  switch (remedyOf(code)) {
    case 'wait':
      return Clock;
    case 'model':
      return SearchX;
    case 'administrator':
      return KeyRound;
    default:
      return BROKEN_OFF.includes(code) ? Unplug : CircleAlert;
  }
}

import { ask, attach, continueAnswer, retryAnswer } from '$/api/client';
import { connection } from '$/api/connection.svelte';
import { claimSlot, type Release } from './slots';

/**
 * What the device may tell a stream. `restored`: the page comes back from the back-forward cache, or somebody else
 * has found that the server can be reached again.
 */
export type DeviceEvent = 'visible' | 'hidden' | 'online' | 'offline' | 'restored';

/** Everything outside of the page's own code that a stream touches. */
export interface Environment {
  ask: typeof ask;
  continueAnswer: typeof continueAnswer;
  retryAnswer: typeof retryAnswer;
  attach: typeof attach;
  /** Wall-clock milliseconds: they go on while the device sleeps. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** Runs once after so many milliseconds; gives back what cancels that. */
  setTimer(run: () => void, milliseconds: number): () => void;
  isVisible(): boolean;
  isOnline(): boolean;
  /** Gives back what ends the listening. */
  listen(listener: (event: DeviceEvent) => void): () => void;
  /** A place for a live connection; null if there is none. */
  claimSlot(): Promise<Release | null>;
}

function listen(listener: (event: DeviceEvent) => void): () => void {
  const end = new AbortController();
  const options = { signal: end.signal };
  document.addEventListener(
    'visibilitychange',
    () => listener(document.visibilityState === 'visible' ? 'visible' : 'hidden'),
    options,
  );
  window.addEventListener('pageshow', (event) => event.persisted && listener('restored'), options);
  window.addEventListener('online', () => listener('online'), options);
  window.addEventListener('offline', () => listener('offline'), options);
  end.signal.addEventListener(
    'abort',
    connection.onreturn(() => listener('restored')),
  );
  return () => end.abort();
}

/** The browser. */
export const browser: Environment = {
  ask,
  continueAnswer,
  retryAnswer,
  attach,
  now: () => Date.now(),
  random: () => Math.random(),
  setTimer: (run, milliseconds) => {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
  isVisible: () => document.visibilityState === 'visible',
  isOnline: () => navigator.onLine,
  listen,
  claimSlot: () => claimSlot(),
};

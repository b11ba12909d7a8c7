/** Runs something when the page has nothing better to do, after `timeout` ms at the latest. */
export function whenIdle(run: () => void, timeout = 500): void {
  // Safari has no idle callbacks.
  if (typeof requestIdleCallback === 'function') requestIdleCallback(run, { timeout });
  else setTimeout(run, 16);
}

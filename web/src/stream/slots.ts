/**
 * Places for live connections.
 *
 * A browser opens at most six HTTP/1.1 connections to an origin, over all tabs. An open stream
 * takes one for as long as the answer lasts, so without a limit the seventh tab could not even load.
 */

/** Streams that may be live at once, over all tabs of the origin. Two connections stay free for the rest. */
export const SLOTS = 4;

/** Gives a slot back. */
export type Release = () => void;

function nothing(): void {}

/** Holds the lock until released; null if somebody else has it. */
function hold(locks: LockManager, name: string): Promise<Release | null> {
  return new Promise((resolve, reject) => {
    locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (lock === null) {
          resolve(null);
          return undefined;
        }
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}

/**
 * Takes a slot; null if all are taken. Never waits for one.
 *
 * Where there are no locks (an insecure context) or they don't work, everybody gets a slot: a
 * stream that polls for ever would be worse than a full connection pool.
 */
export async function claimSlot(
  locks: LockManager | undefined = globalThis.navigator?.locks,
): Promise<Release | null> {
  if (locks === undefined) return nothing;
  try {
    for (let i = 0; i < SLOTS; i++) {
      const release = await hold(locks, `stream-${i}`);
      if (release !== null) return release;
    }
    return null;
  } catch {
    return nothing;
  }
}

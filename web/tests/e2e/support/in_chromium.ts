import { test } from 'vitest';
import { ENGINE } from './engine';

/**
 * A test of what only Chromium's driver can do. With another engine it is not run: the report names it as left
 * out, with the reason.
 */
export function inChromium(reason: string, name: string, run: () => Promise<void>) {
  const here = ENGINE === 'chromium';
  test.runIf(here)(here ? name : `${name} (Chromium only: ${reason})`, run);
}

import { defineConfig } from 'vitest/config';

/** What is the same in every engine, and has been seen to be: the other files rest on Chromium's driver in places. */
const NEUTRAL = [
  'auth',
  'chat',
  'eventsource',
  'history',
  'low',
  'parity',
  'place',
  'reasoning',
  'start',
  'streams',
  'versions',
  'whole',
];
const files = process.env.BROWSER === 'firefox' ? `{${NEUTRAL.join(',')}}` : '*';

// Real browser, real binary: one test file at a time, on two cores.
export default defineConfig({
  test: {
    environment: 'node',
    include: [`tests/e2e/${files}.e2e.ts`],
    globalSetup: 'tests/e2e/support/browser.ts',
    fileParallelism: false,
    // What must come is waited for: a busy machine takes its time.
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});

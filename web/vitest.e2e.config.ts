import { defineConfig } from 'vitest/config';

// Real browser, real binary: one test file at a time, on two cores.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['tests/e2e/**/*.e2e.ts'],
    globalSetup: 'tests/e2e/support/browser.ts',
    fileParallelism: false,
    // What must come is waited for: a busy machine takes its time.
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});

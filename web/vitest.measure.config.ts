import { mergeConfig } from 'vitest/config';
import e2e from './vitest.e2e.config.ts';

// What the whole page costs: `npm run measure`. Nothing here fails for being slow.
const config = mergeConfig(e2e, { test: { testTimeout: 400_000 } });
config.test.include = ['tests/measure/**/*.measure.ts'];
export default config;

import { mergeConfig } from 'vitest/config';
import e2e from './vitest.e2e.config.ts';

// WebKitGTK, the engine of Safari: what a person does first, by WebDriver.
const config = mergeConfig(e2e, {});
config.test.include = ['tests/webkit/**/*.webkit.ts'];
config.test.globalSetup = [];
export default config;

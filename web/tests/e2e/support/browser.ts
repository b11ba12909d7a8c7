import type { TestProject } from 'vitest/node';
import { BROWSER_TYPE, launchOptions } from './engine';

declare module 'vitest' {
  interface ProvidedContext {
    browser: string;
  }
}

/** One browser for all files: each connects to it and has contexts of its own. */
export default async function setup(project: TestProject) {
  const server = await BROWSER_TYPE.launchServer(launchOptions());
  project.provide('browser', server.wsEndpoint());
  return () => server.close();
}

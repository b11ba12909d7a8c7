import { existsSync } from 'node:fs';
import { type BrowserServer, chromium } from 'playwright-core';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    browser: string;
  }
}

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** How the system's Chromium is started. As root it can't have its sandbox. */
export function launchOptions() {
  const executablePath = process.env.CHROMIUM ?? PLACES.find((place) => existsSync(place));
  if (!executablePath) {
    throw new Error('There is no Chromium (Debian: apt-get install chromium). CHROMIUM=PATH names one.');
  }
  const args = ['--disable-dev-shm-usage', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  return { executablePath, args };
}

/** One browser for all files: each connects to it and has contexts of its own. */
export default async function setup(project: TestProject) {
  const server: BrowserServer = await chromium.launchServer(launchOptions());
  project.provide('browser', server.wsEndpoint());
  return () => server.close();
}

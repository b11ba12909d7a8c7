import { existsSync } from 'node:fs';
import { chromium, firefox } from 'playwright-core';

/** The engine under test: Firefox with `BROWSER=firefox`, Chromium otherwise. */
export const ENGINE = process.env.BROWSER === 'firefox' ? 'firefox' : 'chromium';

/** What starts the engine's browser, and connects to it. */
export const BROWSER_TYPE = { chromium, firefox }[ENGINE];

const CHROMIUMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FIREFOXES = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];

/** How the system's browser of this engine is started. Throws if there is none. */
export function launchOptions() {
  if (ENGINE === 'firefox') {
    // Debian's own, by WebDriver BiDi: without the channel Playwright speaks to its patched Firefox only.
    return {
      executablePath: installed('Firefox', 'FIREFOX', 'firefox-esr', FIREFOXES),
      channel: 'moz-firefox',
    };
  }
  const executablePath = installed('Chromium', 'CHROMIUM', 'chromium', CHROMIUMS);
  // As root Chromium can't have its sandbox.
  const args = ['--disable-dev-shm-usage', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  return { executablePath, args };
}

function installed(name: string, variable: string, debian: string, places: string[]): string {
  const path = process.env[variable] ?? places.find((place) => existsSync(place));
  if (path) return path;
  throw new Error(`There is no ${name} (Debian: apt-get install ${debian}). ${variable}=PATH names one.`);
}

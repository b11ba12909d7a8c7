import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type axe from 'axe-core';
import { expect } from 'vitest';
import type { Tab } from './tab';

const WIDTHS = [360, 768, 1280];
const THEMES = ['light', 'dark'] as const;
const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Every finding, in words: rule, place and what is wrong. */
async function findings(tab: Tab): Promise<string[]> {
  if (!(await tab.page.evaluate(() => 'axe' in window))) await tab.page.evaluate(source);
  return tab.page.evaluate(async () => {
    const runner = Reflect.get(window, 'axe') as typeof axe;
    // The diagram's frame has an origin of its own.
    const results = await runner.run(document, { iframes: false, resultTypes: ['violations'] });
    return results.violations.flatMap((violation) =>
      violation.nodes.map((node) => `${violation.id}: ${node.target.join(' ')}: ${node.failureSummary}`),
    );
  });
}

/** The system's theme; where the driver has no say in that, as with Firefox, the one that somebody has chosen. */
async function setTheme(tab: Tab, theme: (typeof THEMES)[number]) {
  await tab.page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
  await tab.page.evaluate((wanted) => {
    const { dataset } = document.documentElement;
    if (matchMedia(`(prefers-color-scheme: ${wanted})`).matches) delete dataset.theme;
    else dataset.theme = wanted;
  }, theme);
}

/** The view in both themes at all widths. `show` makes it, as a change of width may close it. */
export async function check(tab: Tab, show: (width: number) => Promise<void>) {
  for (const width of WIDTHS) {
    await tab.page.setViewportSize({ width, height: 900 });
    await show(width);
    for (const colorScheme of THEMES) {
      await setTheme(tab, colorScheme);
      // A colour on its way to another one is neither. What scrolling moves ends with no time.
      await tab.page.evaluate(() => {
        const finite = document.getAnimations().filter(({ effect, timeline }) => {
          return timeline instanceof DocumentTimeline && effect?.getComputedTiming().endTime !== Infinity;
        });
        return Promise.all(finite.map((each) => each.finished.catch(() => {}))).then(() => {});
      });
      expect(await findings(tab), `${colorScheme} at ${width}`).toEqual([]);
    }
  }
}

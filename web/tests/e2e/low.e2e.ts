import { expect, test } from 'vitest';
import { useWorld } from './support/world';

const world = useWorld();

// 1280 × 800 and 1280 × 1024 at 400 %, a phone held sideways, one with its keyboard up.
for (const [width, height] of [
  [320, 200],
  [320, 256],
  [640, 360],
  [360, 400],
] as const) {
  test(`in a window of ${width} × ${height} the conversation has at least half of the height`, async () => {
    const user = await world.user();
    const id = await user.ask('words 300');
    const tab = await world.tab(`/c/${id}`, { user, viewport: { width, height } });
    await tab.expectWords(user, 300);
    const seen = await tab.page.evaluate(() => ({
      messages: document.querySelector('[role="log"]')?.clientHeight ?? 0,
      beside: document.documentElement.scrollWidth - window.innerWidth,
      below: document.documentElement.scrollHeight - window.innerHeight,
    }));
    expect(seen.messages).toBeGreaterThanOrEqual(height / 2);
    expect([seen.beside, seen.below], 'nothing is cut off').toEqual([0, 0]);
    // A question of several lines leaves the conversation its half.
    await tab.composer.fill('one\ntwo\nthree\nfour\nfive\nsix');
    await expect
      .poll(() => tab.page.evaluate(() => document.querySelector('[role="log"]')?.clientHeight ?? 0))
      .toBeGreaterThanOrEqual(height / 2);
    await tab.composer.fill('words 3');
    await tab.composer.press('Enter');
    await tab.expectWords(user, 3);
  });
}

import type { CDPSession } from 'playwright-core';
import { expect, test } from 'vitest';
import { answer, tokens } from '../bench/fixture';
import type { Tab } from '../e2e/support/tab';
import { useWorld } from '../e2e/support/world';

const world = useWorld();

/** Tokens of the measured answer, and how many come in a second. */
const TOKENS = 20_000;
const RATE = 200;
/** Characters of the conversation that is opened: some 200,000 tokens, half of them in questions. */
const CONVERSATION = 800_000;
const TURNS = 50;

async function metricsOf(session: CDPSession): Promise<Record<string, number>> {
  const { metrics } = await session.send('Performance.getMetrics');
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

/** CPU seconds of the tab's main thread while `run` runs: in script, and in all. */
async function costOf(tab: Tab, run: () => Promise<void>) {
  const session = await tab.page.context().newCDPSession(tab.page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const before = await metricsOf(session);
  const from = performance.now();
  await run();
  const after = await metricsOf(session);
  const spent = (name: string) => Number(((after[name] ?? 0) - (before[name] ?? 0)).toFixed(3));
  return {
    script: spent('ScriptDuration'),
    thread: spent('TaskDuration'),
    seconds: Number(((performance.now() - from) / 1000).toFixed(2)),
  };
}

test('an answer of 20,000 tokens at 200 a second, and its replay', async () => {
  const user = await world.user();
  const text = tokens(TOKENS).join('');
  // Asked from elsewhere: a driver types such a question in line by line, which takes Chromium seconds.
  const id = await user.askAndLeave(`say every ${1000 / RATE} hold 1 tab\n${text}`);
  const tab = await world.tab(`/c/${id}`, { user });
  const stop = tab.button('composer.stop');
  await stop.waitFor();
  await tab.page.evaluate(() => {
    const tasks: number[] = [];
    Reflect.set(window, 'longTasks', tasks);
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) tasks.push(entry.duration);
    }).observe({ type: 'longtask' });
  });
  const live = await costOf(tab, async () => {
    world.upstream.open('tab');
    await stop.waitFor({ state: 'detached', timeout: 300_000 });
  });
  const longTasks = await tab.page.evaluate(() => Reflect.get(window, 'longTasks') as number[]);
  const stored = (await user.messages(tab.conversationId)).at(-1)?.content;
  expect(stored).toBe(text);
  const replay = await costOf(tab, async () => {
    await tab.page.reload();
    await tab.page.locator('article .prose > :last-child').last().waitFor();
  });
  console.log(JSON.stringify({ live, longTasks: longTasks.map(Math.round), reload: replay }));
});

test('a conversation of 200,000 tokens is opened', async () => {
  const user = await world.user();
  const part = CONVERSATION / TURNS / 2;
  const text = answer(part, 1).slice(0, part);
  const id = await user.ask(`say\n${text}`);
  for (let n = 1; n < TURNS; n++) await user.ask(`say\n${text}`, { conversation_id: id });
  const tab = await world.tab('/', { user });
  const link = tab.page.locator(`a[href="/c/${id}"]`);
  await link.waitFor();
  const opened = [];
  for (let n = 0; n < 5; n++) {
    await tab.goto('/');
    await link.waitFor();
    await tab.page.waitForLoadState('networkidle');
    // From the click until the last answer stands there, at the end of the list, and has been painted.
    const milliseconds = await tab.page.evaluate(async (path) => {
      const from = performance.now();
      document.querySelector<HTMLElement>(`a[href="${path}"]`)?.click();
      for (;;) {
        await new Promise((frame) => requestAnimationFrame(frame));
        if (document.querySelector('article:last-of-type .prose > :last-child')) break;
      }
      await new Promise((frame) => requestAnimationFrame(frame));
      return performance.now() - from;
    }, `/c/${id}`);
    opened.push(Math.round(milliseconds));
  }
  console.log(JSON.stringify({ opened }));
});

test.each([20, 200, 2_000])(
  'a chat of %i messages: when its end is painted, and when all is there',
  async (count) => {
    const user = await world.user();
    // Half of it is in the question.
    const text = answer(count > 200 ? 300 : 1_500, 1);
    const id = await user.ask(`say\n${text}`);
    for (let n = 1; n < count / 2; n++) await user.ask(`say\n${text}`, { conversation_id: id });
    const tab = await world.tab('/', { user });
    const link = tab.page.locator(`a[href="/c/${id}"]`);
    const opened = [];
    for (let n = 0; n < (count > 200 ? 1 : 3); n++) {
      await tab.goto('/');
      await link.waitFor();
      await tab.page.waitForLoadState('networkidle');
      const found = await tab.page.evaluate(
        async ([path, messages]) => {
          const tasks: number[] = [];
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) tasks.push(Math.round(entry.duration));
          }).observe({ type: 'longtask' });
          const frame = () => new Promise((painted) => requestAnimationFrame(painted));
          const from = performance.now();
          const since = () => Math.round(performance.now() - from);
          document.querySelector<HTMLElement>(`a[href="${path}"]`)?.click();
          while (!document.querySelector('article:last-of-type .prose > :last-child')) await frame();
          await frame();
          const end = since();
          const some = () => document.querySelectorAll('article:has(.prose > *, .bubble > p)').length;
          const pause = () => new Promise((later) => setTimeout(later, 50));
          while (some() < messages) await pause();
          const whole = since();
          for (let n = 0; n < 5; n += 1) await frame();
          const log = document.querySelector('[role="log"]');
          return {
            end,
            whole,
            longest: Math.max(0, ...tasks),
            long: tasks.length,
            elements: document.querySelectorAll('*').length,
            fromEnd: log ? log.scrollHeight - log.clientHeight - log.scrollTop : null,
          };
        },
        [`/c/${id}`, count] as const,
      );
      opened.push(found);
    }
    console.log(JSON.stringify({ count, opened }));
  },
);

import type { Tab } from './tab';

/** Where the list of messages is, in px. */
export interface Scroll {
  top: number;
  max: number;
}

/** Where the list is, as the page shows it. */
export function scrollOf(tab: Tab): Promise<Scroll> {
  return tab.page.evaluate(() => {
    const log = document.querySelector('[role="log"]');
    if (!log) throw new Error('there are no messages');
    return { top: log.scrollTop, max: log.scrollHeight - log.clientHeight };
  });
}

/** How far below the list's upper edge the message with these words begins, in px. */
export function offsetOf(tab: Tab, words: string): Promise<number> {
  return tab.page.evaluate((text) => {
    const log = document.querySelector('[role="log"]');
    const all = [...document.querySelectorAll('article p')];
    const found = all.find((element) => element.textContent?.trim() === text);
    if (!log || !found) throw new Error(`not in the page: ${text}`);
    return found.getBoundingClientRect().top - log.getBoundingClientRect().top;
  }, words);
}

/** Waits until this many frames have been painted. */
export function frames(tab: Tab, count: number): Promise<void> {
  return tab.page.evaluate(async (left) => {
    for (let n = 0; n < left; n += 1) await new Promise((frame) => requestAnimationFrame(frame));
  }, count);
}

/** Waits until every message is rendered. */
export async function wholeChat(tab: Tab, messages: number): Promise<void> {
  await tab.page.waitForFunction((count) => {
    const articles = [...document.querySelectorAll('article')];
    return (
      articles.length >= count && articles.every((each) => each.querySelector('.prose > *, .bubble > p'))
    );
  }, messages);
}

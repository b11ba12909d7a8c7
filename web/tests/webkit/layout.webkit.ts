import { expect, test } from 'vitest';
import type { Api } from '../e2e/support/api';
import { PATIENCE } from '../e2e/support/process';
import { say } from '../e2e/support/say';
import { words } from '../e2e/support/tab';
import { KEYS } from './support/driver';
import { useView } from './support/view';

const view = useView();

/** Asks for a chat that is many windows long. */
async function longChat(user: Api): Promise<string> {
  let conversation_id: string | undefined;
  for (let n = 0; n < 16; n += 1) {
    const code = Array.from({ length: 6 }, (_, line) => `let line${line} = ${n};`).join('\n');
    const text = `## Part ${n}\n\n${`A sentence of part ${n}. `.repeat(40)}\n\n\`\`\`rust\n${code}\n\`\`\``;
    conversation_id = await user.ask(`say\n${text}`, conversation_id ? { conversation_id } : {});
  }
  return `/c/${conversation_id}`;
}

/** How far the end of the messages is below the sight, in CSS pixels. */
const distance = () =>
  view.driver.run(() => {
    const log = document.querySelector('[role="log"]');
    return log ? Math.round(log.scrollHeight - log.clientHeight - log.scrollTop) : -1;
  });

/** Waits until nothing has moved for ten frames: what a list does by itself is over. */
const settled = () =>
  view.driver.run(async () => {
    const log = document.querySelector('[role="log"]');
    const place = () => `${log?.scrollTop} ${log?.scrollHeight}`;
    for (let still = 0, before = ''; still < 10; before = place()) {
      await new Promise((frame) => requestAnimationFrame(frame));
      still = before === place() ? still + 1 : 0;
    }
  });

test('a long chat opens at its end, stays there, and follows', async () => {
  const user = await view.user(longChat);
  for (const again of [false, true]) {
    if (again) await view.reload();
    await view.until('the messages are there', () =>
      view.driver.run(() => document.querySelectorAll('article .prose').length > 0),
    );
    await settled();
    await expect
      .poll(distance, { timeout: PATIENCE, message: again ? 'reloaded' : 'opened' })
      .toBeLessThan(2);
  }
  const id = (await view.driver.url()).pathname.replace('/c/', '');
  // From elsewhere: nobody here has asked to be led to the end.
  await user.askAndLeave('words 900 every 2', { conversation_id: id });
  await view.answerToBe(words(900));
  await expect.poll(distance, { timeout: PATIENCE, message: 'followed' }).toBeLessThan(2);
});

test('a dialog is as high as what it shows', async () => {
  await view.user();
  await view.composer();
  await view.driver.press(KEYS.control, '/');
  await view.find('dialog h2', say('shell.shortcuts'));
  const { dialog, shown } = await view.driver.run(() => {
    const element = document.querySelector('dialog[open]') as HTMLElement;
    const body = element.querySelector('.body') as HTMLElement;
    const header = element.querySelector('header') as HTMLElement;
    const last = body.lastElementChild as HTMLElement;
    const content = last.getBoundingClientRect().bottom - body.getBoundingClientRect().top;
    const padding = Number.parseFloat(getComputedStyle(body).paddingBottom);
    return { dialog: element.clientHeight, shown: header.offsetHeight + content + padding };
  });
  expect(Math.abs(dialog - shown), `${dialog} of ${shown}`).toBeLessThan(2);
  await view.driver.press(KEYS.escape);
  await view.until('it is closed', () => view.driver.run(() => !document.querySelector('dialog[open]')));
});

test('a menu takes the focus, and gives it back', async () => {
  await view.user();
  const focused = () =>
    view.driver.run(() => {
      const element = document.activeElement;
      return [element?.getAttribute('role') ?? element?.localName, element?.getAttribute('aria-haspopup')];
    });
  const opener = await view.find('button[aria-haspopup="menu"]');
  await view.driver.click(opener);
  await expect.poll(focused).toEqual([expect.stringMatching(/^menuitem/), null]);
  const first = await view.driver.run(() => document.activeElement?.textContent ?? '');
  await view.driver.press(KEYS.down);
  expect(await view.driver.run(() => document.activeElement?.textContent ?? '')).not.toBe(first);
  await view.driver.press(KEYS.escape);
  await expect.poll(focused).toEqual(['button', 'menu']);
});

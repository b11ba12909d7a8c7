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
  await view.user(longChat);
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
  await view.send('words 800 hold 700 end');
  await view.answerToBe(words(700));
  await settled();
  expect(await distance(), 'the question stays in sight').toBeGreaterThan(100);
  await view.driver.run(() => document.querySelector<HTMLElement>('[role="log"]')?.focus());
  await view.driver.press(KEYS.end);
  await view.until('it is at the end', async () => (await distance()) < 2);
  view.upstream.open('end');
  await view.answerToBe(words(800));
  await expect.poll(distance, { timeout: PATIENCE, message: 'followed' }).toBeLessThan(2);
});

test('scrolling up in a long chat moves the text by as much as the list', async () => {
  await view.user(longChat);
  await view.until('the messages are there', () =>
    view.driver.run(() => document.querySelectorAll('article .prose').length > 0),
  );
  await settled();
  await view.driver.run(() => document.querySelector<HTMLElement>('[role="log"]')?.focus());
  for (let step = 0; step < 6; step += 1) {
    await view.driver.run(() => {
      const log = document.querySelector('[role="log"]');
      const { top = 0, height = 0, left = 0, width = 0 } = log?.getBoundingClientRect() ?? {};
      const text = document.elementFromPoint(left + width / 2, top + height / 2)?.closest('article *');
      Reflect.set(window, 'seen', { text, top: text?.getBoundingClientRect().top, at: log?.scrollTop });
    });
    await view.driver.press(KEYS.pageUp);
    await settled();
    const off = await view.driver.run(() => {
      const seen = Reflect.get(window, 'seen') as { text?: Element; top: number; at: number };
      const log = document.querySelector('[role="log"]');
      if (!seen.text?.isConnected || !log) return null;
      return [seen.text.getBoundingClientRect().top - seen.top, log.clientHeight];
    });
    if (off === null) continue;
    const [moved = 0, height = 0] = off;
    // A page is the height but for a few lines; a jump would be seen in it.
    expect(moved, `page ${step + 1} of ${height} px`).toBeGreaterThan(height * 0.6);
    expect(moved, `page ${step + 1} of ${height} px`).toBeLessThanOrEqual(height);
  }
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

import { expect, test } from 'vitest';
import { PASSWORD } from '../e2e/support/api';
import { say } from '../e2e/support/say';
import { isBeginningOfWords, words } from '../e2e/support/tab';
import { KEYS } from './support/driver';
import { useView } from './support/view';

const view = useView();

test('somebody signs in by the form', async () => {
  const user = await view.user();
  await view.signOut();
  await view.goto('/');
  const [name, password] = [await view.find('[name="username"]'), await view.find('[name="password"]')];
  await view.driver.type(name, user.username);
  await view.driver.type(password, 'not this');
  await view.click('auth.sign_in');
  await view.find('[role="alert"]', say('error.bad_credentials'));
  // The page has selected what was wrong.
  await view.driver.type(password, PASSWORD + KEYS.enter);
  await view.composer();
});

test('an answer grows as it is written, stays through a reload, and is stopped', async () => {
  const user = await view.user();
  await view.driver.run(() => {
    const seen: string[] = [];
    Reflect.set(window, 'growth', seen);
    new MutationObserver(() => {
      const text = [...document.querySelectorAll('article .prose')].at(-1)?.textContent.trim() ?? '';
      if (text !== '' && text !== seen.at(-1)) seen.push(text);
    }).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
  await view.send('words 60 every 100 hold 40 rest');
  await view.answerToBe(words(40));
  const growth = await view.driver.run(() => Reflect.get(window, 'growth') as string[]);
  expect(growth.filter((text) => !isBeginningOfWords(text))).toEqual([]);
  expect(growth.length, growth.join('\n')).toBeGreaterThan(3);

  await view.reload();
  await view.answerToBe(words(40));
  await view.click('composer.stop');
  await view.find('article *', say('chat.stopped'));
  view.upstream.open('rest');
  const id = (await view.driver.url()).pathname.replace('/c/', '');
  const stored = (await user.messages(id)).at(-1);
  expect([stored?.status, stored?.content.trim()]).toEqual(['stopped', words(40)]);
  expect(await view.answer()).toBe(words(40));
});

test('the field grows with its text up to a limit, and is small again', async () => {
  await view.user();
  const field = await view.composer();
  const height = () => view.driver.run((area) => (area as unknown as Element).clientHeight, field);
  const one = await height();
  await view.driver.type(field, 'one');
  for (let n = 0; n < 3; n += 1) await view.driver.press(KEYS.shift, KEYS.enter);
  await expect.poll(height).toBeGreaterThan(2 * one);
  const four = await height();
  for (let n = 0; n < 20; n += 1) await view.driver.press(KEYS.shift, KEYS.enter);
  await expect.poll(height).toBeGreaterThan(four);
  const page = await view.driver.run(() => innerHeight);
  expect(await height()).toBeLessThan(page / 2);
  await view.driver.press(KEYS.control, 'a');
  await view.driver.press(KEYS.backspace);
  await expect.poll(height).toBe(one);
});

test('a diagram is drawn', async () => {
  await view.user((user) => user.ask('rich').then((id) => `/c/${id}`));
  const frame = await view.find('article .shows-diagram iframe');
  await view.driver.lookInto(frame);
  await view.until('it is drawn', () =>
    view.driver.run(() => (document.querySelector('svg')?.getBoundingClientRect().height ?? 0) > 50),
  );
});

test('what the policy refuses is noticed', async () => {
  await view.user();
  await view.composer();
  expect(await view.refused()).toEqual([]);
  await view.driver.run(() => {
    const style = document.createElement('style');
    style.append('p { color: red }');
    document.head.append(style);
  });
  await expect.poll(() => view.refused()).toHaveLength(1);
  expect((await view.refused())[0]).toContain('style-src');
  // For the next document nothing is refused.
  await view.goto('/');
});

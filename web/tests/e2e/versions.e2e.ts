import { expect, test } from 'vitest';
import { say } from './support/say';
import { useWorld } from './support/world';

const world = useWorld();

test('a chosen version is there after a reload and in another browser, and the turns after it too', async () => {
  const user = await world.user();
  const conversation = await user.ask('words 2');
  await user.ask('words 3', { conversation_id: conversation });
  const tab = await world.tab(`/c/${conversation}`, { user });
  await expect.poll(() => tab.articles.count()).toBe(4);

  // Another answer to the first question: what came after the old one is not lost without a word.
  await tab.articles.nth(1).hover();
  await tab.articles
    .nth(1)
    .getByRole('button', { name: say('chat.retry') })
    .click();
  await tab.page.getByText(say('toast.turns_kept', { n: 1, of: 2 })).waitFor();
  await expect.poll(() => tab.articles.count()).toBe(2);
  await tab.page.getByText(say('chat.version', { n: 2, of: 2 })).waitFor();

  const before = tab.page.getByRole('button', { name: say('chat.version_before') });
  const after = tab.page.getByRole('button', { name: say('chat.version_after') });
  await before.focus();
  await before.press('Enter');
  await expect.poll(() => tab.articles.count()).toBe(4);
  const isFocused = () => after.evaluate((button) => button === document.activeElement);
  expect(await isFocused(), 'at the first version there is only a way on').toBe(true);

  const kept = async () =>
    (await user.get<{ head_message_id: string }>(`/conversations/${conversation}`)).head_message_id;
  const end = (await user.messages(conversation)).find((message) => message.content.includes('w3'))?.id;
  await expect.poll(kept).toBe(end);
  await tab.page.reload();
  await expect.poll(() => tab.articles.count()).toBe(4);
  const other = await world.tab(`/c/${conversation}`, { user });
  await expect.poll(() => other.articles.count()).toBe(4);

  // Here the other version has never been read. It takes the place of this one, and the focus stays on its buttons.
  const there = (name: 'chat.version_after' | 'chat.version_before') =>
    other.page.getByRole('button', { name: say(name) });
  await there('chat.version_after').focus();
  await there('chat.version_after').press('Enter');
  await expect.poll(() => other.articles.count()).toBe(2);
  await other.page.getByText(say('chat.version', { n: 2, of: 2 })).waitFor();
  await expect
    .poll(() => there('chat.version_before').evaluate((button) => button === document.activeElement))
    .toBe(true);
  await there('chat.version_before').press('Enter');
  await expect.poll(() => other.articles.count()).toBe(4);
  await expect.poll(kept).toBe(end);
});

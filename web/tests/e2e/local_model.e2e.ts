import { expect, test } from 'vitest';
import { useWorld } from './support/world';

// As a fresh checkout has it: no provider, no key, the model on this machine's processor.
const world = useWorld(null);

test('a fresh installation answers, and shows what it answered', { timeout: 180_000 }, async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  await tab.send('What is the capital of France? Answer in one sentence.');
  await expect.poll(() => tab.conversationId).not.toBe('');
  const stored = async () => (await user.messages(tab.conversationId)).at(-1);
  await expect.poll(async () => (await stored())?.status, { timeout: 150_000 }).toBe('completed');
  // It may use markup; its letters are the same with and without.
  const letters = (text: string) => text.replaceAll(/[^\p{L}]/gu, '');
  const text = letters((await stored())?.content ?? '');
  expect(text.length).toBeGreaterThan(10);
  await expect.poll(async () => letters(await tab.answer())).toBe(text);
});

import { afterAll, expect, test } from 'vitest';
import { NamingProvider } from './support/naming_provider';
import { useWorld } from './support/world';

const namer = await NamingProvider.start('"Forty words"');
afterAll(() => namer.stop());
const world = useWorld({
  TITLES__ENABLED: 'on',
  TITLES__MODEL: 'namer/namer',
  PROVIDERS__NAMER__BASE_URL: namer.baseUrl,
});

test('a chat gets its title after the first answer, in every tab and without a reload', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  const other = await world.sibling(tab, '/');
  await tab.send('words 40');
  await tab.expectWords(user, 40);
  await tab.chatLink('words 40').waitFor();
  await other.chatLink('words 40').waitFor();
  namer.tell();
  await tab.chatLink('Forty words').waitFor();
  await other.chatLink('Forty words').waitFor();
  await expect.poll(() => tab.page.title()).toContain('Forty words');
  await tab.page.reload();
  await tab.chatLink('Forty words').waitFor();
});

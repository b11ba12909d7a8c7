import { expect, test } from 'vitest';
import { ATTACKS } from '../fixtures/attacks';
import type { Api } from './support/api';
import { say } from './support/say';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();
const PER_CHAT = 40;

/** Asks for each as an answer (the question repeats it), in several chats; gives those back. */
async function askAll(user: Api): Promise<string[]> {
  const parts: string[][] = [];
  for (let at = 0; at < ATTACKS.length; at += PER_CHAT) parts.push(ATTACKS.slice(at, at + PER_CHAT));
  return Promise.all(
    parts.map(async (attacks) => {
      let conversation = '';
      for (const attack of attacks) {
        const more = conversation === '' ? {} : { conversation_id: conversation };
        conversation = await user.ask(`say\n${attack}`, more);
      }
      return conversation;
    }),
  );
}

/** Brings every message into sight once: they are rendered when they come near. */
async function lookAtAll(tab: Tab) {
  const unseen = tab.page.locator('article.assistant:not(:has(.prose))');
  await expect
    .poll(
      async () => {
        if ((await unseen.count()) > 0) await unseen.last().scrollIntoViewIfNeeded();
        return unseen.count();
      },
      { timeout: 20_000, interval: 1 },
    )
    .toBe(0);
}

/** Waits until every diagram was drawn or given up: only then has its frame done all that it does. */
async function seeDiagrams(tab: Tab) {
  const pending = tab.page.locator(
    '.code-block:has(iframe.diagram):has(.diagram-toggle:disabled):not(:has(.diagram-note))',
  );
  await expect
    .poll(
      async () => {
        if ((await pending.count()) > 0) await pending.first().scrollIntoViewIfNeeded();
        return pending.count();
      },
      { timeout: 60_000 },
    )
    .toBe(0);
}

/** What in the page could act, or lead away, though nobody built it in. Empty for a page that is safe. */
async function dangers(tab: Tab): Promise<string[]> {
  return tab.page.evaluate(() => {
    const found: string[] = [];
    if ('attacked' in window) found.push('a script ran');
    const app = document.getElementById('app') ?? document.body;
    for (const element of app.querySelectorAll(
      'script, object, embed, base, meta, link, template, frame, audio, video',
    )) {
      found.push(element.outerHTML.slice(0, 200));
    }
    for (const frame of document.querySelectorAll('iframe')) {
      const inert =
        frame.getAttribute('sandbox') === 'allow-scripts' &&
        frame.src.startsWith(`${location.origin}/diagram.html`);
      if (!inert) found.push(frame.outerHTML.slice(0, 200));
    }
    for (const image of app.querySelectorAll('img, image, source')) {
      const address =
        image.getAttribute('src') ?? image.getAttribute('href') ?? image.getAttribute('srcset') ?? '';
      if (address !== '' && new URL(address, location.href).origin !== location.origin) found.push(address);
    }
    for (const link of app.querySelectorAll<HTMLAnchorElement | HTMLAreaElement>('[href]')) {
      const address = link.getAttribute('href') ?? '';
      const { protocol, origin } = new URL(address, location.href);
      if (!['http:', 'https:', 'mailto:'].includes(protocol)) found.push(address);
      if (origin !== location.origin && !(link.getAttribute('rel') ?? '').includes('noopener'))
        found.push(`no rel: ${address}`);
    }
    for (const element of app.querySelectorAll('*')) {
      for (const { name } of element.attributes) {
        if (name.startsWith('on') || name === 'srcdoc' || name === 'formaction')
          found.push(`${element.tagName} ${name}`);
      }
    }
    return found;
  });
}

test('hostile answers and questions stay text', async () => {
  expect(ATTACKS.length).toBeGreaterThan(200);
  const user = await world.user();
  const chats = await askAll(user);
  // High, so that many messages are in sight at once.
  const tab = await world.tab('/', { user, viewport: { width: 1000, height: 4000 } });
  for (const chat of chats) {
    await tab.goto(`/c/${chat}`);
    await tab.articles.first().waitFor();
    await lookAtAll(tab);
    await seeDiagrams(tab);
    expect(await dangers(tab)).toEqual([]);
  }
});

test('hostile answers are as harmless while they are written', async () => {
  const user = await world.user();
  const tab = await world.tab('/', { user });
  for (let at = 0; at < ATTACKS.length; at += 100) {
    await tab.send(`say every 1\n${ATTACKS.slice(at, at + 100).join('\n\n')}`);
    await expect
      .poll(async () => (await user.messages(tab.conversationId)).at(-1)?.status, { timeout: 30_000 })
      .toBe('completed');
    await tab.button('composer.send').waitFor();
    await seeDiagrams(tab);
    expect(await dangers(tab)).toEqual([]);
  }
});

test('hostile titles stay text', async () => {
  const user = await world.user();
  const titles = ATTACKS.map((attack) => attack.replaceAll(/\s+/g, ' ').trim().slice(0, 200));
  const named = await user.ask('words 2');
  for (const title of titles) {
    if (title !== '') await user.request('POST', '/conversations', { title });
  }
  const tab = await world.tab(`/c/${named}`, { user });
  const links = tab.page.getByRole('navigation').getByRole('link');
  const all = (await user.conversations()).length;
  await expect
    .poll(
      async () => {
        await links.last().scrollIntoViewIfNeeded();
        return links.count();
      },
      { timeout: 20_000 },
    )
    .toBeGreaterThan(Math.min(all, 200));
  expect(await dangers(tab)).toEqual([]);

  const [worst] = titles.filter((title) => title.includes('<'));
  await user.rename(named, worst ?? '');
  await tab.page.reload();
  await tab.page.getByRole('heading', { level: 1, name: worst ?? '' }).waitFor();
  expect(await tab.page.title()).toContain(worst);
  await tab.chatMenu(worst ?? '', say('sidebar.delete'));
  await tab.button('toast.undo').waitFor();
  expect(await dangers(tab)).toEqual([]);
});

// Pictures of every view, in both themes at three widths: docs/screenshots/VIEW-THEME-WIDTH.png.
// `node scripts/screenshots.mjs [VIEW…]`, after the binaries of the tests are built (see docs/testing.md).
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';
import { withPalette } from './png.mjs';

const web = fileURLToPath(new URL('..', import.meta.url));
const target = join(web, '../docs/screenshots');
const support = async (name) => (await runnerImport(join(web, `tests/e2e/support/${name}.ts`))).module;
const { Upstream } = await support('upstream');
const { Server, scriptedProviders } = await support('server');
const { Api, PASSWORD } = await support('api');
const { BROWSER_TYPE, launchOptions } = await support('engine');
const { say } = await support('say');
const { Thinker } = await support('thinker');

const SIZES = [
  { width: 360, height: 720 },
  { width: 768, height: 900 },
  { width: 1280, height: 800 },
];
/** When all of it happened: pictures of the same page are the same. */
const NOW = '2026-01-15T10:00:00Z';
const QUESTION = 'How does a small cache work?';

const upstream = await Upstream.start();
// One answer stays half written until its last picture.
const server = await Server.start({
  ...scriptedProviders(upstream.baseUrl),
  PROVIDERS__STEADY__IDLE_TIMEOUT: '30m',
});
// Two models that think aloud: one has answered, the other one still thinks.
const answered = await Thinker.start(server.web);
const thinking = await Thinker.start(server.web);
const browser = await BROWSER_TYPE.launch(launchOptions());

const button = (page, key, values) =>
  page.getByRole('button', { name: say(key, values), exact: true }).last();
const composer = (page) => page.getByRole('textbox', { name: say('composer.question') });

async function openSidebar(page) {
  await composer(page).waitFor();
  const opener = button(page, 'sidebar.open');
  if (await opener.isVisible()) await opener.click();
  await page.getByRole('navigation').waitFor();
}

async function drawn(page) {
  await page.locator('article .katex').first().waitFor();
  await page.locator('article .hljs-keyword').first().waitFor();
  await page.locator('article .shows-diagram').waitFor();
  // Painted, in a process of its own.
  const frame = page.frameLocator('article iframe').locator('svg');
  await frame.waitFor();
  await frame.evaluate(async () => {
    for (let n = 0; n < 10; n++) await new Promise((painted) => requestAnimationFrame(painted));
  });
}

/** The line that stands for what was thought, or opens it. */
const thoughts = (page) => page.locator('article .reasoning > button').last();

const THOUGHTS = [
  'The question is about a *small* cache, so I should keep to the idea: keep what was used lately near, and forget the rest.\n\n',
  'An LRU cache needs two things:\n\n- a map, to find a value at once\n- an order, to know what to forget\n\n',
  'In JavaScript a `Map` keeps the order of insertion. Deleting a key and setting it again moves it to the end, so one `Map` is enough for both. ',
  'I will show `get` and `set`, and say what they cost: both take constant time.',
];
const ANSWER = [
  'A small cache keeps what was **used lately** near, and forgets what was not.\n\n',
  'Each time a value is read it moves to the end of the line. When the line is full, its first value goes: it has not been used for the longest time.\n\n',
  'Reading and writing both take constant time, however much there is.',
];

/** Name, path, what makes it, whether somebody is signed in, at which origin. */
const VIEWS = {
  'sign-in': { path: '/login', show: (page) => button(page, 'auth.sign_in').waitFor() },
  register: { path: '/register', show: (page) => button(page, 'auth.create_account').click() },
  'new-chat': { path: '/', user: true, show: (page) => composer(page).waitFor() },
  answer: {
    path: (chats) => `/c/${chats.rich}`,
    user: true,
    show: async (page) => {
      await drawn(page);
      // By the wheel, as a reader would: the page stays at its end otherwise.
      const { width, height } = page.viewportSize();
      await page.mouse.move(width / 2, height / 2);
      await page.mouse.wheel(0, -10_000);
      await page.waitForFunction(() => document.querySelector('article').getBoundingClientRect().top > 0);
    },
  },
  'answer-end': { path: (chats) => `/c/${chats.rich}`, user: true, show: drawn },
  writing: {
    path: (chats) => `/c/${chats.writing}`,
    user: true,
    show: (page) => button(page, 'composer.stop').waitFor(),
  },
  failed: {
    path: (chats) => `/c/${chats.failed}`,
    user: true,
    show: (page) => button(page, 'chat.retry').waitFor(),
  },
  history: {
    path: (chats) => `/c/${chats.rich}`,
    user: true,
    show: async (page) => {
      await openSidebar(page);
      await page.locator('article .katex').first().waitFor();
      await page.waitForFunction(() => document.fonts.check('1em KaTeX_Main'));
    },
  },
  account: {
    path: '/',
    user: true,
    show: async (page, user) => {
      await openSidebar(page);
      await button(page, 'shell.account_of', { name: user.username }).click();
      await page.getByRole('menuitem', { name: say('shell.sign_out') }).waitFor();
    },
  },
  shortcuts: {
    path: '/',
    user: true,
    show: async (page) => {
      await composer(page).waitFor();
      await page.keyboard.press('Control+/');
      await page.getByRole('dialog', { name: say('shell.shortcuts') }).waitFor();
    },
  },
  thoughts: {
    origin: answered.origin,
    path: answered.path,
    user: true,
    show: (page) => thoughts(page).waitFor(),
  },
  'thoughts-open': {
    origin: answered.origin,
    path: answered.path,
    user: true,
    show: async (page) => {
      await thoughts(page).click();
      await page.locator('article .thoughts li').first().waitFor();
      await page.mouse.move(0, 0);
    },
  },
  thinking: {
    origin: thinking.origin,
    path: thinking.path,
    user: true,
    show: async (page) => {
      await thoughts(page).click();
      await page.locator('article .thoughts li').first().waitFor();
      await page.mouse.move(0, 0);
    },
  },
  missing: {
    path: '/nowhere',
    user: true,
    show: (page) => page.getByText(say('shell.missing_title')).waitFor(),
  },
};

/** What a person would ask in place of the scripted model's own language, and the time that was chosen. */
const prettified = (body) =>
  body
    .replaceAll(/"(created_at|updated_at)":"[^"]+"/g, `"$1":"${NOW}"`)
    .replaceAll(/"content":"(?:rich|words)[^"]*"/g, `"content":"${QUESTION}"`);

async function prepare() {
  const form = { username: 'demo_user', email: 'demo@example.com', password: PASSWORD };
  const registered = await fetch(`${server.api}/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(form),
  });
  if (!registered.ok) throw new Error(await registered.text());
  const user = await Api.signIn(server, form.username, PASSWORD);
  for (const title of ['Packing for a week at the sea', 'Bread without kneading', 'What a monad is']) {
    await user.request('POST', '/conversations', { title });
  }
  const chats = {
    failed: await user.ask('words 24 cut 12'),
    writing: await user.askAndLeave('rich hold 60 screenshot'),
    rich: await user.ask('rich'),
  };
  for (const model of [answered, thinking]) {
    model.ask(QUESTION);
    for (const words of THOUGHTS) model.think(words);
  }
  for (const words of ANSWER) answered.say(words);
  answered.complete();
  await user.rename(chats.failed, 'Caches, in short');
  await user.rename(chats.writing, 'Caches, once more');
  await user.rename(chats.rich, QUESTION);
  return { user, chats };
}

async function picture(name, view, { user, chats }) {
  for (const colorScheme of ['light', 'dark']) {
    for (const size of SIZES) {
      const context = await browser.newContext({
        viewport: size,
        colorScheme,
        reducedMotion: 'reduce',
        locale: 'en-GB',
        timezoneId: 'UTC',
      });
      await context.route(/\/api\/v1\/conversations/, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: prettified(await response.text()) });
      });
      await context.clock.setFixedTime(NOW);
      const origin = view.origin ?? server.web;
      if (view.user) {
        await context.request.post(`${origin}/api/v1/auth/login`, {
          data: { username: user.username, password: PASSWORD },
          headers: { 'sec-fetch-site': 'same-origin', origin },
        });
      }
      const page = await context.newPage();
      await page.goto(origin + (typeof view.path === 'function' ? view.path(chats) : view.path));
      await view.show(page, user);
      // Nothing is on its way any more.
      await page.waitForFunction(() => !document.querySelector('.skeleton'));
      await page.evaluate(() => document.fonts.ready.then(() => {}));
      const png = await page.screenshot({ animations: 'disabled', caret: 'hide' });
      writeFileSync(join(target, `${name}-${colorScheme}-${size.width}.png`), withPalette(png));
      await context.unrouteAll({ behavior: 'ignoreErrors' });
      await context.close();
    }
  }
}

try {
  mkdirSync(target, { recursive: true });
  const prepared = await prepare();
  const wanted = process.argv.slice(2);
  for (const [name, view] of Object.entries(VIEWS)) {
    if (wanted.length === 0 || wanted.includes(name)) await picture(name, view, prepared);
  }
} finally {
  await browser.close();
  await answered.stop();
  await thinking.stop();
  await server.stop();
  await upstream.stop();
}

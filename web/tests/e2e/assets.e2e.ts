import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:http';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { Tab } from './support/tab';
import { useWorld } from './support/world';

const world = useWorld();

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A request as it is on the wire: `fetch` would decompress. */
function get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(world.server.web + path, { headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** What `index.html` itself names: the entry's scripts and styles. */
async function entry(): Promise<string[]> {
  const html = (await get('/')).body.toString();
  return [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1] ?? '');
}

test('hashed files are kept for ever, and come compressed as the client likes', async () => {
  const script = (await entry()).find((path) => path.endsWith('.js')) ?? '';
  const plain = await get(script);
  expect(plain.status).toBe(200);
  expect(plain.headers['cache-control']).toBe('public, max-age=31536000, immutable');
  expect(plain.headers['content-type']).toBe('text/javascript; charset=utf-8');
  expect(plain.headers['content-encoding']).toBeUndefined();

  const br = await get(script, { 'accept-encoding': 'gzip, br' });
  expect(br.headers['content-encoding']).toBe('br');
  expect(brotliDecompressSync(br.body).equals(plain.body)).toBe(true);
  const gzip = await get(script, { 'accept-encoding': 'gzip' });
  expect(gzip.headers['content-encoding']).toBe('gzip');
  expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
  expect(br.body.length).toBeLessThan(gzip.body.length);

  const tags = [plain, br, gzip].map((answer) => answer.headers.etag);
  expect(new Set(tags).size, `one tag per encoding: ${tags}`).toBe(3);
  for (const answer of [plain, br, gzip]) expect(answer.headers.vary).toContain('accept-encoding');
});

test('the page is asked for again, and answered by 304 while it is the same', async () => {
  const page = await get('/', { 'accept-encoding': 'br' });
  expect(page.headers['cache-control']).toBe('no-cache');
  const etag = page.headers.etag ?? '';
  const again = await get('/', { 'accept-encoding': 'br', 'if-none-match': etag });
  expect([again.status, again.body.length]).toEqual([304, 0]);
  expect((await get('/', { 'if-none-match': etag })).status, 'another encoding is another file').toBe(200);
  const deep = await get('/c/0190a6e1-0000-7000-8000-000000000000', {
    'if-none-match': etag,
    'accept-encoding': 'br',
  });
  expect(deep.status, 'a deep link is the same page').toBe(304);
});

test('what is missing is missing', async () => {
  for (const path of ['/assets/index-00000000.js', '/assets/', '/api/v1/nothing']) {
    const answer = await get(path);
    expect(answer.status, path).toBe(404);
    expect(answer.body.toString(), path).not.toContain('<div id="app">');
  }
  expect((await get('/.vite/manifest.json')).body.toString(), 'the manifest is not served').not.toContain(
    '"isEntry"',
  );
});

/** Words that only these have: the libraries that are loaded when an answer needs them. */
const LAZY = ['KaTeX parse error', 'flowchart-v2', 'nonlocal'];

/** The scripts that a tab has loaded so far, with their text. */
async function scriptsOf(tab: Tab): Promise<{ path: string; text: string }[]> {
  const paths = await tab.page.evaluate(() =>
    performance.getEntriesByType('resource').map((resource) => new URL(resource.name).pathname),
  );
  const scripts = paths.filter((path) => path.startsWith('/assets/') && path.endsWith('.js'));
  return Promise.all(scripts.map(async (path) => ({ path, text: (await get(path)).body.toString() })));
}

test('a visit loads what it shows; an answer loads what it needs', async () => {
  const signIn = await world.tab('/login');
  await signIn.page.getByRole('textbox').first().waitFor();
  const first = await scriptsOf(signIn);
  expect(first.length).toBeGreaterThan(0);

  const user = await world.user();
  const chat = await world.tab('/', { user });
  await chat.composer.waitFor();
  const second = await scriptsOf(chat);
  for (const { path, text } of [...first, ...second]) {
    for (const word of LAZY) expect(text.includes(word), `${path} holds "${word}"`).toBe(false);
  }
  // The words are still the right ones.
  await chat.send('rich');
  await chat.page.locator('article .katex').first().waitFor();
  expect((await scriptsOf(chat)).some(({ text }) => text.includes('KaTeX parse error'))).toBe(true);
});

test('the policy allows no inline code and nothing foreign', async () => {
  const policy = String((await get('/')).headers['content-security-policy']);
  expect(policy).not.toContain('unsafe');
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("require-trusted-types-for 'script'");
  const diagram = String((await get('/diagram.html')).headers['content-security-policy']);
  expect(diagram).toContain('sandbox allow-scripts');
  expect(diagram).not.toContain('allow-same-origin');
});

test('a tab does what it is accused of', async () => {
  const tab = await world.tab('/login');
  await tab.page.evaluate(() => {
    const image = document.createElement('img');
    image.src = 'https://example.com/x.png';
    document.body.append(image);
    alert('hello');
  });
  await expect.poll(() => tab.faults.join('\n')).toMatch(/CSP: img-src/);
  expect(tab.faults.join('\n')).toContain('dialog: hello');
  tab.forgive();
});

// Measures rendering in a real browser: an answer of 20,000 tokens as it streams, the same replayed as fast as it can
// be taken, and a conversation of 800 kB as it is opened. Prints a table and, last, one line of JSON.
//
//   node scripts/measure-render.mjs [--tokens 20000] [--rate 200] [--shots DIR] [--skip-stream]
//
// `CHROMIUM` names the browser (default /usr/bin/chromium). Script time is the main thread's CPU time, so that
// neighbours on the machine do not count.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { build } from 'vite';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: options } = parseArgs({
  options: {
    tokens: { type: 'string', default: '20000' },
    rate: { type: 'string', default: '200' },
    shots: { type: 'string' },
    'skip-stream': { type: 'boolean', default: false },
  },
});
const count = Number(options.tokens);
const rate = Number(options.rate);

const directory = mkdtempSync(join(tmpdir(), 'measure-render-'));
await build({ configFile: at('../tests/bench/vite.config.ts'), build: { outDir: directory } });
const server = serve(directory);
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--enable-precise-memory-info', '--js-flags=--expose-gc'],
});

const report = { tokens: count, rate };
try {
  if (options.shots !== undefined) await takeShots(options.shots);
  if (!options['skip-stream']) {
    report.stream = await measure((page) =>
      page.evaluate(([n, r]) => window.bench.stream(n, r), [count, rate]),
    );
  }
  report.replay = await median(3, (page) => page.evaluate((n) => window.bench.replay(n), count));
  report.openNear = await median(3, (page) => page.evaluate(() => window.bench.open(800_000, true)));
  report.openAll = await median(3, (page) => page.evaluate(() => window.bench.open(800_000, false)));
} finally {
  await browser.close();
  server.close();
  rmSync(directory, { recursive: true, force: true });
}
print(report);
const violations = Object.values(report).flatMap((part) => part?.violations ?? []);
if (violations.length > 0) {
  console.error(`refused by the content security policy:\n${violations.join('\n')}`);
  process.exitCode = 1;
}

/** Runs one thing in a fresh page and says what it cost. */
async function measure(run) {
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  await page.goto(`${origin}/tests/bench/index.html`);
  await page.evaluate(() => window.bench.warmUp());
  await page.evaluate(() => globalThis.gc?.());
  const before = await metricsOf(session);
  const result = await run(page);
  const after = await metricsOf(session);
  await page.evaluate(() => globalThis.gc?.());
  const settled = await metricsOf(session);
  const violations = await page.evaluate(() => window.violations);
  await page.close();
  const round = (value) => Math.round(value * 1_000) / 1_000;
  return {
    scriptSeconds: round(after.ScriptDuration - before.ScriptDuration),
    taskSeconds: round(after.TaskDuration - before.TaskDuration),
    layoutSeconds: round(
      after.LayoutDuration + after.RecalcStyleDuration - before.LayoutDuration - before.RecalcStyleDuration,
    ),
    heapMegabytes: round((settled.JSHeapUsedSize - before.JSHeapUsedSize) / 1e6),
    nodes: settled.Nodes,
    violations,
    ...result,
    ...(result.milliseconds && { milliseconds: Math.round(result.milliseconds) }),
    ...(result.longTasks && {
      longTasks: result.longTasks.length,
      longestTask: Math.max(0, ...result.longTasks),
    }),
  };
}

/** The run in the middle by wall clock. */
async function median(times, run) {
  const runs = [];
  for (let index = 0; index < times; index++) runs.push(await measure(run));
  return runs.sort((one, other) => one.milliseconds - other.milliseconds)[Math.floor(times / 2)];
}

async function metricsOf(session) {
  const { metrics } = await session.send('Performance.getMetrics');
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

/** Pictures of an answer with everything in it, in both themes. */
async function takeShots(into) {
  const text = readFileSync(at('../tests/bench/everything.md'), 'utf8');
  for (const theme of ['light', 'dark']) {
    const page = await browser.newPage({ viewport: { width: 900, height: 1_000 }, colorScheme: theme });
    await page.goto(`${origin}/tests/bench/index.html`);
    await page.evaluate((shown) => window.bench.show(shown), text);
    await page.locator('.shows-diagram').first().waitFor({ timeout: 30_000 });
    await page.locator('.katex').first().waitFor();
    await page.locator('.hljs-keyword').first().waitFor();
    const height = await page.evaluate(() => document.querySelector('#scroller').scrollHeight);
    await page.setViewportSize({ width: 900, height });
    await page.waitForTimeout(300);
    await page.screenshot({ path: join(into, `prose-${theme}.png`) });
    console.log(await page.evaluate(() => window.violations));
    await page.close();
  }
}

/** Serves the build under the policies of the real server, so that what they refuse shows here too. */
function serve(root) {
  const headers = readFileSync(at('../../crates/r1-web/src/headers.rs'), 'utf8');
  const policy = (name) => {
    const text = new RegExp(`const ${name}: &str = "([^"]*)"`).exec(headers)?.[1];
    if (text === undefined) throw new Error(`no ${name} in headers.rs`);
    return text.replace(/\\\n\s*/g, '');
  };
  const types = {
    '.html': 'text/html',
    '.js': 'text/javascript',
    '.css': 'text/css',
    '.woff2': 'font/woff2',
  };
  return createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    response.setHeader(
      'content-security-policy',
      policy(path === '/diagram.html' ? 'DIAGRAM_POLICY' : 'POLICY'),
    );
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('content-type', types[extname(path)] ?? 'application/octet-stream');
    try {
      response.end(readFileSync(join(root, path)));
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
}

function print({ stream, replay, openNear, openAll }) {
  const row = (name, run) =>
    run && {
      what: name,
      'script s': run.scriptSeconds,
      'thread s': run.taskSeconds,
      'layout s': run.layoutSeconds,
      'wall ms': run.milliseconds,
      'long tasks': run.longTasks,
      'longest ms': run.longestTask,
      'heap MB': run.heapMegabytes,
    };
  const rows = [
    row(`stream ${count} tokens at ${rate}/s`, stream),
    row(`replay ${count} tokens`, replay),
    row('open 800 kB, what is near', openNear),
    row('open 800 kB, all of it', openAll),
  ];
  console.table(rows.filter(Boolean));
  console.log(JSON.stringify(report));
}

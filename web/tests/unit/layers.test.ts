import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const SOURCES = resolve(process.cwd(), 'src');
/** As ARCHITECTURE.md lists them. */
const architecture = readFileSync(resolve(process.cwd(), '../ARCHITECTURE.md'), 'utf8');

test('the folders of the page import only what stands above them in ARCHITECTURE.md', () => {
  const page = architecture.slice(architecture.indexOf('\n## The page'));
  const order = [...page.slice(0, page.indexOf('\n## ', 1)).matchAll(/^\| `(\w+)` \|/gm)].map(
    ([, name]) => name,
  );
  expect(order.length).toBeGreaterThan(5);
  const wrong: string[] = [];
  for (const file of readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })) {
    const [folder = ''] = file.split('/');
    if (!file.includes('/') || !/\.(ts|svelte)$/.test(file)) continue;
    for (const [, target] of readFileSync(join(SOURCES, file), 'utf8').matchAll(/'\$\/(\w+)\//g)) {
      if (target === folder || target === 'styles') continue;
      const upwards =
        order.includes(folder) && order.includes(target) && order.indexOf(target) < order.indexOf(folder);
      if (!upwards) wrong.push(`${file} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

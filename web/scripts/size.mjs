// What a first visit costs, and what the sources must not contain. `node scripts/size.mjs [DIR]` reads a
// finished build (default: dist) and ends with 1 when something is over its budget.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

/**
 * What is loaded until somebody can sign in, until somebody can ask, and until answers can be read: the views that
 * come with `index.html`, and the budgets in gzipped KB.
 */
const SHELL = 'src/features/shell/Shell.svelte';
const VISITS = {
  'the sign-in page': { views: ['src/features/auth/AuthPage.svelte'], '.js': 60, '.css': 10 },
  'a new chat': { views: [SHELL, 'src/features/chat/fresh.ts'], '.js': 62, '.css': 10 },
  'an open chat': { views: [SHELL, 'src/features/chat/MessageList.svelte'], '.js': 103, '.css': 14 },
};
/** Words that only these libraries have. They are loaded when an answer needs them. */
const LAZY = { KaTeX: 'KaTeX parse error', mermaid: 'flowchart-v2', 'a highlighted language': 'nonlocal' };
/** Each is a way for a model's words to become markup, or breaks the content security policy. */
const FORBIDDEN = [/\{@html/, /\b(?:inner|outer)HTML\b/, /insertAdjacentHTML/, /\sstyle="/];

const web = fileURLToPath(new URL('..', import.meta.url));
const dist = process.argv[2] ?? join(web, 'dist');
const faults = [];

function manifest() {
  try {
    return JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'));
  } catch (error) {
    console.error(`${dist} holds no build with a manifest: run "npm run build" first. ${error.message}`);
    process.exit(1);
  }
}

/** The files of a chunk and of everything that it imports statically. */
function closure(chunks, keys) {
  const files = new Set();
  const seen = new Set();
  const visit = (key) => {
    if (seen.has(key)) return;
    seen.add(key);
    const chunk = chunks[key];
    files.add(chunk.file);
    for (const css of chunk.css ?? []) files.add(css);
    for (const imported of chunk.imports ?? []) visit(imported);
  };
  for (const key of keys) visit(key);
  return files;
}

/** Every file below. */
function walk(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

const chunks = manifest();
const html = readFileSync(join(dist, 'index.html'), 'utf8');
// The blocking script that keeps the theme from flashing is loaded by every visit, too.
const named = [...html.matchAll(/(?:src|href)="\/([^"]+\.(?:js|css))"/g)].map(([, path]) => path);

const early = new Set();
const kilobytes = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;

for (const [visit, { views, ...budgets }] of Object.entries(VISITS)) {
  const keys = ['index.html', ...views];
  const gone = keys.filter((key) => !(key in chunks));
  if (gone.length > 0) {
    faults.push(`${visit}: ${gone} is no part of the build any more`);
    continue;
  }
  const files = new Set([...named, ...closure(chunks, keys)]);
  for (const file of files) early.add(file);
  for (const [extension, kilobytesAllowed] of Object.entries(budgets)) {
    const budget = kilobytesAllowed * 1024;
    const sizes = [...files]
      .filter((file) => file.endsWith(extension))
      .map((file) => ({ file, bytes: gzipSync(readFileSync(join(dist, file)), { level: 9 }).length }))
      .sort((a, b) => b.bytes - a.bytes);
    const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    const kind = extension.slice(1);
    console.log(
      `${visit}: ${kilobytes(total)} of ${kilobytes(budget)} ${kind}, gzipped, in ${sizes.length} files`,
    );
    if (sizes.length === 0) faults.push(`${visit} loads no ${kind} at all: is this a build of the page?`);
    if (total > budget) {
      const list = sizes.map(({ file, bytes }) => `${file} ${kilobytes(bytes)}`).join(', ');
      faults.push(`${visit} is ${kilobytes(total - budget)} of ${kind} over its budget: ${list}`);
    }
  }
}

const scripts = walk(dist).filter((path) => path.endsWith('.js'));
for (const [library, word] of Object.entries(LAZY)) {
  const holders = scripts.filter((path) => readFileSync(path, 'utf8').includes(word));
  const loaded = holders.map((path) => relative(dist, path)).filter((file) => early.has(file));
  if (loaded.length > 0) faults.push(`${library} is loaded at once: "${word}" is in ${loaded.join(', ')}`);
  if (holders.length === 0) faults.push(`"${word}" is nowhere: it no longer tells where ${library} is`);
}

for (const path of walk(join(web, 'src')).filter((path) => /\.(?:ts|svelte|html)$/.test(path))) {
  for (const [n, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    const code = line.replace(/^\s*(?:\/\/|\/?\*).*/, '');
    for (const pattern of FORBIDDEN) {
      if (pattern.test(code))
        faults.push(`${relative(web, path)}:${n + 1}: ${code.match(pattern)[0].trim()}`);
    }
  }
}

for (const fault of faults) console.error(fault);
process.exit(faults.length > 0 ? 1 : 0);

import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { katexFonts } from './vite.katex.ts';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What every view needs. */
const BASE = [
  'src/api/',
  'src/features/chat/ModelPicker.',
  'src/features/chat/message_state.',
  'src/features/settings/choices.',
  'src/features/shell/',
  'src/lib/',
  'src/state/',
  'src/stream/',
  'src/ui/',
  'node_modules/eventsource-parser/',
  'node_modules/svelte/',
].map((path) => at(`./${path}`));

/** But for what only views need that come later: the forms, the dialogs, their words. */
const LATER = [
  'src/features/shell/NotHere.',
  'src/lib/countdown.',
  'src/lib/fresh_words.',
  'src/lib/later_words.',
  'src/lib/prose_words.',
  'src/ui/Dialog.',
  'src/ui/Field.svelte',
  'src/ui/Form.svelte',
].map((path) => at(`./${path}`));

const isBase = (id: string) =>
  BASE.some((path) => id.startsWith(path)) && !LATER.some((path) => id.startsWith(path));

export default defineConfig({
  plugins: [svelte(), katexFonts()],
  resolve: { alias: { $: at('./src') } },
  build: {
    // The crate that embeds the page says where; by hand it is web/dist.
    outDir: process.env.WEB_OUT_DIR ?? 'dist',
    emptyOutDir: true,
    // The oldest browsers that show the page: the README, index.html and base.css say the same.
    target: ['chrome123', 'edge123', 'firefox128', 'ios17.5', 'safari17.5'],
    // A font inlined as `data:` would be refused by the page's content security policy.
    assetsInlineLimit: 0,
    // For scripts/size.mjs. Hidden files are not part of the page.
    manifest: true,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    rolldownOptions: {
      input: { index: at('./index.html'), diagram: at('./diagram.html') },
      output: {
        // In one file: a browser has six connections, and one file compresses better.
        codeSplitting: {
          groups: [
            // The frame of diagrams needs this, and nothing else of the page.
            { name: 'preload', test: /vite\/preload-helper/, priority: 1 },
            { name: 'base', test: isBase, minShareCount: 2 },
            // What messages share with what comes after them: three files would be three overheads.
            { name: 'shared', test: /src\/(markdown\/(bidi|boxes)\.|features\/chat\/CopyButton\.)/ },
          ],
        },
      },
    },
  },
  server: {
    port: 5173,
    proxy: { '/api': { target: process.env.GPT_R1_ORIGIN ?? 'http://127.0.0.1:3000' } },
  },
});

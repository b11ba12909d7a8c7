import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { katexFonts } from '../../vite.katex.ts';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The page that rendering is measured in, built as the real one is, beside the real frame of diagrams. */
export default defineConfig({
  root: at('../..'),
  publicDir: false,
  logLevel: 'warn',
  plugins: [svelte(), katexFonts()],
  resolve: { alias: { $: at('../../src') } },
  build: {
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    emptyOutDir: true,
    rolldownOptions: { input: { bench: at('./index.html'), diagram: at('../../diagram.html') } },
  },
});

import type { Plugin } from 'vite';

/** Keeps the one format of KaTeX's fonts that every browser we support reads: the others are a megabyte of the binary. */
export function katexFonts(): Plugin {
  return {
    name: 'katex-fonts',
    enforce: 'pre',
    transform: {
      filter: { id: /katex(?:\.min)?\.css$/ },
      handler(css) {
        return css.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["'][a-z]+["']\)/g, '');
      },
    },
  };
}

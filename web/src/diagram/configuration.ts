import type { MermaidConfig } from 'mermaid';
import { token } from './colours';

/** What a source can't change, at whatever depth of its own settings it names it. */
const SECURE = [
  'secure',
  'securityLevel',
  'startOnLoad',
  'suppressErrorRendering',
  'maxTextSize',
  'maxEdges',
  'logLevel',
  'htmlLabels',
  'dompurifyConfig',
  'arrowMarkerAbsolute',
  'theme',
  'themeCSS',
  'themeVariables',
  'darkMode',
  'fontFamily',
  'altFontFamily',
];

/** How the library draws: words are SVG text, colours are the page's, and a source has no say in either. */
export function configuration(theme: 'light' | 'dark'): MermaidConfig {
  const fontFamily = getComputedStyle(document.body).fontFamily;
  return {
    startOnLoad: false,
    securityLevel: 'strict',
    suppressErrorRendering: true,
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    // A few kinds of diagrams have words as HTML whatever is set.
    dompurifyConfig: {
      FORBID_TAGS: [
        'style',
        'img',
        'image',
        'picture',
        'source',
        'audio',
        'video',
        'iframe',
        'form',
        'input',
      ],
      FORBID_ATTR: ['style', 'src', 'srcset', 'poster', 'background', 'href', 'xlink:href'],
    },
    maxTextSize: 20_000,
    maxEdges: 400,
    secure: SECURE,
    theme: 'base',
    fontFamily,
    themeVariables: {
      darkMode: theme === 'dark',
      fontFamily,
      fontSize: '14px',
      background: token('--code'),
      primaryColor: token('--accent-wash'),
      primaryTextColor: token('--on-wash'),
      primaryBorderColor: token('--accent'),
      secondaryColor: token('--raised'),
      tertiaryColor: token('--panel'),
      noteBkgColor: token('--warning-wash'),
      noteTextColor: token('--ink'),
      noteBorderColor: token('--warning'),
      lineColor: token('--line-strong'),
      textColor: token('--ink'),
      titleColor: token('--ink'),
      edgeLabelBackground: token('--code'),
    },
  };
}

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

/** Colours for the series of a chart (`colours.css`). A chart of more series begins again. */
const SERIES = 8;

/** The same colours under the names that the library has for them: `pie1`, `pie2`, … */
function numbered(name: string, from: number, count: number, colours: readonly string[]) {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`${name}${from + index}`, colours[index % colours.length]]),
  );
}

/** How the library draws: words are SVG text, colours are the page's, and a source has no say in either. */
export function configuration(theme: 'light' | 'dark'): MermaidConfig {
  const fontFamily = getComputedStyle(document.body).fontFamily;
  const chart = Array.from({ length: SERIES }, (_, index) => token(`--chart-${index + 1}`));
  const ink = token('--ink');
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
      noteTextColor: ink,
      noteBorderColor: token('--warning'),
      lineColor: token('--line-strong'),
      textColor: ink,
      titleColor: ink,
      edgeLabelBackground: token('--code'),
      ...numbered('pie', 1, 12, chart),
      pieOpacity: '1',
      pieStrokeColor: token('--line'),
      pieOuterStrokeColor: token('--line'),
      pieStrokeWidth: '1px',
      pieOuterStrokeWidth: '1px',
      pieSectionTextColor: token('--on-chart'),
      pieTitleTextColor: ink,
      pieLegendTextColor: ink,
      ...numbered('cScale', 0, 12, chart),
      ...numbered('cScaleLabel', 0, 12, [token('--on-chart')]),
      ...numbered('git', 0, 8, chart),
      ...numbered('gitBranchLabel', 0, 8, [token('--on-chart')]),
      xyChart: {
        plotColorPalette: chart.join(', '),
        backgroundColor: token('--code'),
        titleColor: ink,
        xAxisLabelColor: ink,
        xAxisTitleColor: ink,
        xAxisTickColor: token('--line-strong'),
        xAxisLineColor: token('--line-strong'),
        yAxisLabelColor: ink,
        yAxisTitleColor: ink,
        yAxisTickColor: token('--line-strong'),
        yAxisLineColor: token('--line-strong'),
      },
    },
  };
}

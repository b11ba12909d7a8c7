import './diagram.css';
import mermaid from 'mermaid';
import { token } from './colours';
import { type Draw, isDraw, type Report } from './messages';

/**
 * The page within the frame: draws the one diagram that it is told to. It has no origin, no network beyond its own
 * files and no way out but the two messages.
 */

let count = 0;
let drawing: Promise<void> = Promise.resolve();

addEventListener('message', (event: MessageEvent<unknown>) => {
  const request = event.data;
  if (event.source !== parent || !isDraw(request)) return;
  drawing = drawing.then(() => draw(request));
});

// A drawing is as wide as the frame, so its height follows the frame's width.
new ResizeObserver(() => {
  if (document.body.querySelector('svg') !== null) reportHeight();
}).observe(document.body);

report({ type: 'ready' });

async function draw({ source, theme }: Draw): Promise<void> {
  document.documentElement.dataset.theme = theme;
  try {
    mermaid.initialize(configuration(theme));
    const { svg } = await mermaid.render(`diagram-${++count}`, source);
    document.body.replaceChildren(parse(svg));
    reportHeight();
  } catch {
    // The library leaves its attempt behind.
    document.body.replaceChildren();
    report({ type: 'failed' });
  }
}

function reportHeight(): void {
  report({ type: 'drawn', height: document.body.getBoundingClientRect().height });
}

function report(message: Report): void {
  parent.postMessage(message, '*');
}

/** The drawing as a node, without anything that leads elsewhere. */
function parse(svg: string): SVGElement {
  const root = document.importNode(
    new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement,
    true,
  );
  if (!(root instanceof SVGElement)) throw new TypeError('not a drawing');
  for (const link of root.querySelectorAll('a')) link.replaceWith(...link.childNodes);
  for (const foreign of root.querySelectorAll('script, image, foreignObject, use')) foreign.remove();
  return root;
}

function configuration(theme: 'light' | 'dark'): Parameters<typeof mermaid.initialize>[0] {
  return {
    startOnLoad: false,
    securityLevel: 'strict',
    suppressErrorRendering: true,
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    maxTextSize: 20_000,
    maxEdges: 400,
    secure: [
      'secure',
      'securityLevel',
      'startOnLoad',
      'maxTextSize',
      'maxEdges',
      'suppressErrorRendering',
      'htmlLabels',
    ],
    theme: 'base',
    themeVariables: {
      darkMode: theme === 'dark',
      fontFamily: getComputedStyle(document.body).fontFamily,
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

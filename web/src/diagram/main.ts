import './diagram.css';
import mermaid from 'mermaid';
import { configuration } from './configuration';
import { parseDrawing } from './drawing';
import { type Draw, isDraw, type Report } from './messages';
import { forbidPictures } from './pictures';
import { harmless } from './source';

/**
 * The page within the frame: draws the one diagram that it is told to. It has no origin, no network beyond its own
 * files and no way out but the two messages.
 */

let count = 0;
let wantsPicture = false;
/** What stands in the body is a finished drawing, not the library's attempt at one. */
let finished = false;
let drawing: Promise<void> = Promise.resolve();

addEventListener('message', (event: MessageEvent<unknown>) => {
  const request = event.data;
  if (event.source !== parent || !isDraw(request)) return;
  drawing = drawing.then(() => draw(request));
});

// A drawing is as wide as the frame, so its height follows the frame's width.
new ResizeObserver(() => {
  if (finished) reportHeight();
}).observe(document.body);

forbidPictures(() => {
  wantsPicture = true;
});
report({ type: 'ready' });

async function draw({ source, theme }: Draw): Promise<void> {
  document.documentElement.dataset.theme = theme;
  finished = false;
  try {
    const safe = harmless(source);
    if (safe === null) throw new TypeError('a source that asks for more than a drawing');
    mermaid.initialize(configuration(theme));
    wantsPicture = false;
    const { svg } = await mermaid.render(`diagram-${++count}`, safe);
    if (wantsPicture) throw new TypeError('a shape that is a picture');
    document.body.replaceChildren(parseDrawing(svg));
    finished = true;
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

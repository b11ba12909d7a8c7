import katex from 'katex';
import 'katex/dist/katex.min.css';

/** Draws a formula as nodes. Throws where the TeX is wrong or asks for more than it may. */
export function draw(tex: string, into: HTMLElement, display: boolean): void {
  katex.render(tex, into, {
    displayMode: display,
    throwOnError: true,
    strict: 'ignore',
    // No links, no images, no classes of its own, and an end to recursive macros.
    trust: false,
    maxExpand: 200,
    maxSize: 50,
  });
}

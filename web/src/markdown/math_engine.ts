import katex from 'katex';
import 'katex/dist/katex.min.css';

/** Commands of chemistry, which are a part of the library of its own. */
const CHEMISTRY = /\\(?:ce|pu)(?![a-zA-Z])/;

let chemistry: 'missing' | 'there' = 'missing';
let loading: Promise<unknown> | undefined;

/** Whether everything that a formula needs has been loaded. */
export function canDraw(tex: string): boolean {
  return chemistry === 'there' || !CHEMISTRY.test(tex);
}

/** Loads what a formula needs. */
export async function prepare(tex: string): Promise<void> {
  if (canDraw(tex)) return;
  loading ??= import('katex/contrib/mhchem');
  try {
    await loading;
    chemistry = 'there';
  } catch (error) {
    // Another formula may have more luck.
    loading = undefined;
    throw error;
  }
}

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

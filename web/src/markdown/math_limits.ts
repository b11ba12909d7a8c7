/**
 * What a formula may ask for. The library's work, and the browser's with what it draws, grow with a formula's letters
 * and its depth; a depth of some 150 roots ends the browser's process.
 */

/** Groups, fences, environments and commands without braces within each other. */
const MAX_DEPTH = 40;
/** Letters, digits and commands. */
const MAX_ATOMS = 800;
/** Elements of a drawn formula, and how deep they stand. */
const MAX_ELEMENTS = 5_000;
const MAX_TREE_DEPTH = 400;

/** A definition of a macro can make any number of letters of a few. */
const DEFINES = /\\(?:[egx]?def|(?:re)?newcommand|providecommand|(?:future)?let|global)(?![a-zA-Z])/;
const TOKENS = /\\([a-zA-Z]+|[^a-zA-Z])|([{}])|([^\s&])/g;
const DEEPER = new Set(['left', 'begin', 'bgroup', 'begingroup']);
const BACK = new Set(['right', 'end', 'egroup', 'endgroup']);

/** Whether a formula is small enough for the library. */
export function isDrawable(tex: string): boolean {
  if (DEFINES.test(tex)) return false;
  let depth = 0;
  let atoms = 0;
  /** Commands in a row, with at most one letter between: each may stand in the one before. */
  let chain = 0;
  let between = 0;
  for (const [, command, brace, letter] of tex.matchAll(TOKENS)) {
    if (brace !== undefined) {
      depth += brace === '{' ? 1 : -1;
      if (brace === '}') chain = 0;
    } else if (command !== undefined) {
      atoms++;
      if (DEEPER.has(command)) depth++;
      else if (BACK.has(command)) depth--;
      chain = between <= 1 ? chain + 1 : 1;
      between = 0;
    } else if (letter === '^' || letter === '_') {
      chain++;
      between = 0;
    } else if (letter !== undefined) {
      atoms++;
      if (++between > 1) chain = 0;
    }
    if (depth > MAX_DEPTH || chain > MAX_DEPTH || atoms > MAX_ATOMS) return false;
  }
  return true;
}

/** Whether what was drawn is small enough for the page. */
export function isShowable(drawing: Element): boolean {
  return drawing.getElementsByTagName('*').length <= MAX_ELEMENTS && isShallow(drawing);
}

/** Walks without recursion: the tree may be deeper than the stack. */
function isShallow(root: Element): boolean {
  let depth = 0;
  let at: Element = root;
  for (;;) {
    const child = at.firstElementChild;
    if (child !== null) {
      if (++depth > MAX_TREE_DEPTH) return false;
      at = child;
      continue;
    }
    while (at !== root && at.nextElementSibling === null) {
      at = at.parentElement ?? root;
      depth--;
    }
    if (at === root) return true;
    at = at.nextElementSibling ?? root;
  }
}

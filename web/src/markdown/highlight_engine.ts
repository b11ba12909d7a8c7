import type { HLJSApi } from 'highlight.js';
import highlighter from 'highlight.js/lib/core';
import { appendCodeText } from './bidi';
import { element } from './element';
import { GRAMMARS } from './grammars';
import type { Grammar } from './langs';

/** Builds what the highlighter finds as nodes; the library's own emitter would build markup as a string. */
class NodeEmitter {
  readonly root = document.createDocumentFragment();
  readonly #open: Node[] = [this.root];

  addText(text: string): void {
    if (text !== '') appendCodeText(this.#top, text);
  }

  startScope(scope: string): void {
    const span = element('span', classesOf(scope));
    this.#top.appendChild(span);
    this.#open.push(span);
  }

  endScope(): void {
    if (this.#open.length > 1) this.#open.pop();
  }

  /** The result for a language within another (CSS in HTML). */
  __addSublanguage(inner: NodeEmitter): void {
    this.#top.appendChild(inner.root);
  }

  openNode(scope: string): void {
    this.startScope(scope);
  }

  closeNode(): void {
    this.endScope();
  }

  closeAllNodes(): void {}
  finalize(): void {}
  toHTML(): string {
    return '';
  }

  get #top(): Node {
    return this.#open.at(-1) ?? this.root;
  }
}

/** `title.function` becomes `hljs-title function_`, as the library's themes expect it. */
function classesOf(scope: string): string {
  return scope
    .split('.')
    .map((word, index) => (index === 0 ? `hljs-${word}` : word + '_'.repeat(index)))
    .join(' ');
}

const engine: HLJSApi = highlighter.newInstance();
engine.configure({ __emitter: NodeEmitter as never });

export function knows(grammar: Grammar): boolean {
  return engine.getLanguage(grammar) !== undefined;
}

export async function load(grammar: Grammar): Promise<void> {
  const { default: define } = await GRAMMARS[grammar]();
  engine.registerLanguage(grammar, define);
}

export function highlight(code: string, grammar: Grammar): DocumentFragment | null {
  const { _emitter: emitter } = engine.highlight(code, { language: grammar, ignoreIllegals: true });
  return (emitter as unknown) instanceof NodeEmitter ? (emitter as unknown as NodeEmitter).root : null;
}

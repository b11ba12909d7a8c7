import { t } from '$/lib/i18n.svelte';
import { visibleBlocks } from './block_stream';
import { blockKind } from './blocks';
import { element, goTo } from './element';
import type { MarkdownToken } from './lex';
import { type Part, type PartKind, PartList, type Place } from './parts';

/** Ways back from one footnote: more are of no use. */
const MAX_BACK = 20;

/** The footnotes of an answer, below it. Each leads back to its marks. */
export class NotesSection {
  readonly node = element('section', 'notes');
  readonly #list = element('ol');
  readonly #parts = new PartList(noteKind);
  readonly #root: HTMLElement;

  constructor(root: HTMLElement) {
    this.#root = root;
    this.node.setAttribute('role', 'doc-endnotes');
    this.node.setAttribute('aria-label', t('prose.notes'));
    this.node.append(this.#list);
  }

  /** The node, if it is in the page. */
  get inPage(): Element | null {
    return this.node.parentNode === this.#root ? this.node : null;
  }

  /** Shows the footnotes that are defined, as far as the budget goes. Gives back whether that was all. */
  update(place: Place): boolean {
    const { notes } = place.answer;
    if (notes.isEmpty) {
      this.node.remove();
      return true;
    }
    if (this.inPage === null) this.#root.append(this.node);
    const definitions = notes.definitions();
    if (this.#parts.update(this.#list, definitions, place) < definitions.length) return false;
    this.#link(notes.id);
    return true;
  }

  /** Gives marks and footnotes their ids, and each footnote its ways back. */
  #link(id: string): void {
    const marks = new Map<number, HTMLElement[]>();
    for (const mark of this.#root.querySelectorAll<HTMLElement>('a.note-mark')) {
      const number = Number(mark.textContent);
      const known = marks.get(number);
      if (known === undefined) marks.set(number, [mark]);
      else if (known.length < MAX_BACK) known.push(mark);
      else continue;
      const count = known === undefined ? 1 : known.length;
      setId(mark, count === 1 ? `${id}-mark-${number}` : `${id}-mark-${number}-${count}`);
    }
    for (const [index, item] of [...this.#list.children].entries()) {
      setId(item, `${id}-${index + 1}`);
      const back = item.lastElementChild;
      const from = marks.get(index + 1) ?? [];
      if (back === null || back.childElementCount === from.length) continue;
      back.replaceChildren(...from.map((mark, count) => backLink(mark, index + 1, count, from.length)));
    }
  }
}

const noteKind: PartKind = {
  shapeOf: () => 'note',
  create: () => new NotePart(),
  weightOf: () => 4,
};

class NotePart implements Part {
  readonly node = element('li');
  readonly #text = element('div', 'note-text');
  readonly #children = new PartList(blockKind);

  constructor() {
    this.node.tabIndex = -1;
    this.node.append(this.#text, element('span', 'note-back'));
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'footnote') return;
    this.#children.update(this.#text, visibleBlocks(token.tokens as MarkdownToken[]), place);
  }

  destroy(): void {
    this.#children.destroy();
  }
}

function backLink(mark: HTMLElement, number: number, index: number, count: number): HTMLAnchorElement {
  const link = element('a');
  link.href = `#${mark.id}`;
  link.textContent = count === 1 ? '↩' : `↩${index + 1}`;
  link.setAttribute('role', 'doc-backlink');
  link.setAttribute('aria-label', t('prose.note_back', { number, count: index + 1 }));
  link.addEventListener('click', (event) => goTo(event, mark));
  return link;
}

function setId(node: Element, id: string): void {
  if (node.id !== id) node.id = id;
}

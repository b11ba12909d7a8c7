import type { Tokens } from 'marked';
import { t } from '$/lib/i18n.svelte';
import { element } from './element';
import { inlineKind } from './inline';
import type { MarkdownToken } from './lex';
import { type Part, PartList, type Place } from './parts';

interface Cell {
  readonly node: HTMLTableCellElement;
  readonly children: PartList;
  /** What it shows; null while that is not all there. */
  text: string | null;
}

interface Row {
  readonly node: HTMLTableRowElement;
  readonly cells: Cell[];
}

/** From this many columns on the first one stays in sight. */
const STICKY_FROM = 4;

/** A table in a box of its own that scrolls, so that a wide one does not widen the answer. */
export class TablePart implements Part {
  readonly node = element('div', 'table-box');
  readonly #head: Row;
  readonly #body = element('tbody');
  readonly #rows: Row[] = [];

  constructor() {
    const table = element('table');
    const head = element('thead');
    this.#head = { node: element('tr'), cells: [] };
    head.append(this.#head.node);
    table.append(head, this.#body);
    this.node.append(table);
    // A box that scrolls must be reachable by keyboard.
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'group');
    this.node.setAttribute('aria-label', t('prose.table'));
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'table') return;
    const inside = { ...place, live: false };
    this.node.classList.toggle('wide', token.header.length >= STICKY_FROM);
    if (!updateRow(this.#head, token.header, 'th', inside)) return;
    for (const [index, cells] of token.rows.entries()) {
      let row = this.#rows[index];
      if (row === undefined) {
        row = { node: element('tr'), cells: [] };
        this.#rows.push(row);
        this.#body.append(row.node);
      }
      if (!updateRow(row, cells, 'td', inside)) return;
    }
    for (const row of this.#rows.splice(token.rows.length)) row.node.remove();
  }
}

/** Shows a row, as far as the budget goes. Gives back whether that was all. */
function updateRow(row: Row, tokens: readonly Tokens.TableCell[], tag: 'th' | 'td', place: Place): boolean {
  const { budget } = place.answer;
  for (const [index, token] of tokens.entries()) {
    let cell = row.cells[index];
    const alignment = token.align === null ? '' : `align-${token.align}`;
    if (cell?.text === token.text && cell.node.className === alignment) continue;
    if (!budget.spend()) return false;
    if (cell === undefined) {
      cell = { node: element(tag), children: new PartList(inlineKind), text: null };
      if (tag === 'th') cell.node.scope = 'col';
      row.cells.push(cell);
      row.node.append(cell.node);
    }
    if (cell.node.className !== alignment) cell.node.className = alignment;
    if (cell.text === token.text) continue;
    cell.children.update(cell.node, token.tokens as MarkdownToken[], place);
    if (budget.cut) return false;
    cell.text = token.text;
  }
  for (const cell of row.cells.splice(tokens.length)) cell.node.remove();
  return true;
}

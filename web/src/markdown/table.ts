import type { Tokens } from 'marked';
import { t } from '$/lib/i18n.svelte';
import { element } from './element';
import { inlineKind } from './inline';
import type { MarkdownToken } from './lex';
import { type Part, PartList, type Place } from './parts';

interface Cell {
  readonly node: HTMLTableCellElement;
  readonly children: PartList;
  text: string;
}

interface Row {
  readonly node: HTMLTableRowElement;
  readonly cells: Cell[];
}

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
    const inside = { live: false, inLink: place.inLink };
    updateRow(this.#head, token.header, 'th', inside);
    for (const [index, cells] of token.rows.entries()) {
      let row = this.#rows[index];
      if (row === undefined) {
        row = { node: element('tr'), cells: [] };
        this.#rows.push(row);
        this.#body.append(row.node);
      }
      updateRow(row, cells, 'td', inside);
    }
    for (const row of this.#rows.splice(token.rows.length)) row.node.remove();
  }
}

function updateRow(row: Row, tokens: readonly Tokens.TableCell[], tag: 'th' | 'td', place: Place): void {
  for (const [index, token] of tokens.entries()) {
    let cell = row.cells[index];
    if (cell === undefined) {
      cell = { node: element(tag), children: new PartList(inlineKind), text: '' };
      if (tag === 'th') cell.node.scope = 'col';
      row.cells.push(cell);
      row.node.append(cell.node);
    }
    const alignment = token.align === null ? '' : `align-${token.align}`;
    if (cell.node.className !== alignment) cell.node.className = alignment;
    if (cell.text === token.text) continue;
    cell.children.update(cell.node, token.tokens as MarkdownToken[], place);
    cell.text = token.text;
  }
  for (const cell of row.cells.splice(tokens.length)) cell.node.remove();
}

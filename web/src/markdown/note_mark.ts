import { t } from '$/lib/i18n.svelte';
import { element, goTo } from './element';
import type { MarkdownToken } from './lex';
import type { Part, Place } from './parts';

/** The mark of a footnote: its number, which leads to it. */
export class NoteMarkPart implements Part {
  readonly node = element('sup');
  readonly #link = element('a', 'note-mark');

  constructor() {
    this.#link.setAttribute('role', 'doc-noteref');
    this.#link.addEventListener('click', (event) =>
      goTo(event, document.getElementById(this.#link.hash.slice(1))),
    );
    this.node.append(this.#link);
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'note_mark') return;
    const { notes } = place.answer;
    const number = notes.numberOf(token.label);
    this.#link.textContent = String(number);
    this.#link.href = `#${notes.id}-${number}`;
    this.#link.setAttribute('aria-label', t('prose.note', { number }));
  }
}

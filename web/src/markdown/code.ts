import { copyText } from '$/lib/clipboard';
import { t } from '$/lib/i18n.svelte';
import { setCodeText } from './bidi';
import { Diagram } from './diagram';
import { button, element } from './element';
import { CodePainter } from './highlight';
import { languageOf } from './langs';
import type { MarkdownToken } from './lex';
import type { Part, Place } from './parts';

/** How long "Copied" is shown, in ms. */
const COPIED = 2_000;

/** Code of an answer that has too many blocks for bars: wrapped, in one colour. */
export class BareCodePart implements Part {
  readonly node = element('pre', 'bare');
  readonly #code = element('code');

  constructor() {
    this.node.dir = 'ltr';
    this.node.append(this.#code);
  }

  update(token: MarkdownToken): void {
    if (token.type === 'code' || token.type === 'source') setCodeText(this.#code, token.text);
  }
}

/** A block of code: a bar that stays in sight (language, wrap, copy) over code that scrolls sideways. */
export class CodePart implements Part {
  readonly node = element('div', 'code-block');
  readonly #label = element('span', 'code-language');
  readonly #actions = element('div', 'code-actions');
  readonly #scroller = element('pre');
  readonly #code = element('code');
  readonly #painter = new CodePainter(this.#code);
  #source = '';
  #info: string | null = null;
  #diagram: Diagram | null = null;

  constructor() {
    const bar = element('div', 'code-bar');
    this.#actions.append(this.#wrapButton(), this.#copyButton());
    bar.append(this.#label, this.#actions);
    // Whatever language the answer is in, code reads from left to right.
    this.#scroller.dir = 'ltr';
    // What scrolls must be reachable by keyboard.
    this.#scroller.tabIndex = 0;
    this.#scroller.setAttribute('role', 'group');
    this.#scroller.append(this.#code);
    this.node.append(bar, this.#scroller);
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'code' && token.type !== 'source') return;
    this.#source = token.text.endsWith('\n') ? token.text : `${token.text}\n`;
    const info = token.type === 'code' ? (token.lang ?? '') : 'markdown';
    const language = languageOf(info);
    if (info !== this.#info) {
      this.#info = info;
      setCodeText(this.#label, language.name ?? t('prose.text'));
      this.#scroller.setAttribute(
        'aria-label',
        t('prose.code', { language: language.name ?? t('prose.text') }),
      );
    }
    this.#painter.show(token.text, token.type === 'code' ? language.grammar : null, place.live);
    this.#updateDiagram(language.name === 'Mermaid' && !place.live ? token.text : null, place);
  }

  destroy(): void {
    this.#diagram?.destroy();
    this.#diagram = null;
  }

  #updateDiagram(source: string | null, place: Place): void {
    if (source === this.#diagram?.source) return;
    this.destroy();
    this.node.classList.remove('shows-diagram');
    this.node.querySelector('.diagram-toggle')?.remove();
    if (source === null || !Diagram.canDraw(source) || !place.answer.mayDrawDiagram()) return;
    const diagram = new Diagram(source, this.node);
    this.#diagram = diagram;
    this.#actions.prepend(diagram.toggle);
  }

  #wrapButton(): HTMLButtonElement {
    const made = button(t('prose.wrap'), () => {
      const wrapped = this.node.classList.toggle('wrapped');
      made.setAttribute('aria-pressed', String(wrapped));
    });
    made.setAttribute('aria-pressed', 'false');
    made.classList.add('code-wrap');
    return made;
  }

  #copyButton(): HTMLButtonElement {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const say = (words: string) => {
      made.textContent = words;
      clearTimeout(timer);
      timer = setTimeout(() => {
        made.textContent = t('prose.copy');
      }, COPIED);
    };
    const made = button(t('prose.copy'), () => {
      copyText(this.#source).then((copied) => say(t(copied ? 'prose.copied' : 'prose.copy_failed')));
    });
    made.setAttribute('aria-live', 'polite');
    return made;
  }
}

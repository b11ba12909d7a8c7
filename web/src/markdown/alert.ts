import { t } from '$/lib/i18n.svelte';
import type { AlertKind } from './alerts';
import { element } from './element';
import type { MarkdownToken } from './lex';
import type { Part, Place } from './parts';

/** The paths of the signs, on a ground of 24 by 24: outlines. */
const SIGNS: Readonly<Record<AlertKind, string>> = {
  note: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v5M12 8h.01',
  tip: 'M9 18h6M10 21h4M8.5 14.5a6 6 0 1 1 7 0c-.6.5-1 1.200-1 2h-5c0-.8-.4-1.500-1-2',
  important: 'M4 4h16v13h-7l-4 4v-4H4zM12 7.500v4M12 14h.01',
  warning: 'M12 4 2.800 20h18.400zM12 10v4M12 17h.01',
  caution: 'M8 3h8l5 5v8l-5 5H8l-5-5V8zM12 8v5M12 16h.01',
};
const SVG = 'http://www.w3.org/2000/svg';

/** A quote with a name: note, tip, important, warning, caution. */
export class AlertPart implements Part {
  readonly node: HTMLElement;
  readonly #body: Part;

  constructor(kind: AlertKind, body: (node: HTMLElement) => Part) {
    this.node = element('div', `alert alert-${kind}`);
    this.node.setAttribute('role', 'note');
    const title = element('p', 'alert-title');
    title.append(sign(kind), t(`prose.alert_${kind}`));
    this.#body = body(element('div', 'alert-body'));
    this.node.append(title, this.#body.node);
  }

  update(token: MarkdownToken, place: Place): void {
    this.#body.update(token, place);
  }

  destroy(): void {
    this.#body.destroy?.();
  }
}

function sign(kind: AlertKind): SVGElement {
  const made = document.createElementNS(SVG, 'svg');
  made.setAttribute('viewBox', '0 0 24 24');
  made.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', SIGNS[kind]);
  made.append(path);
  return made;
}

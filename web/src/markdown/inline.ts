import { t } from '$/lib/i18n.svelte';
import { misleads, setCodeText, setReadableText } from './bidi';
import { element, setData } from './element';
import type { MarkdownToken, NoteMark } from './lex';
import { MathPart } from './math';
import { NoteMarkPart } from './note_mark';
import { type Part, type PartKind, PartList, type Place } from './parts';
import { decodeReferences } from './references';
import { isLineBreak } from './tags';
import { namesAnotherHost, type SafeUrl, safeUrl } from './url';

/** Everything within a line. What is not known is shown as it is written. */
export const inlineKind: PartKind = {
  shapeOf(token, place) {
    switch (token.type) {
      case 'link':
      case 'image':
        return `${token.type} ${place.inLink} ${token.href}`;
      case 'html':
        return isLineBreak(token.raw) ? 'br' : textShape(token);
      case 'element':
        return `element ${token.name}`;
      case 'note_mark':
        return isMark(token, place) ? 'note mark' : textShape(token);
      case 'inline_math':
        return `math ${token.display}`;
      case 'strong':
      case 'em':
      case 'del':
      case 'codespan':
      case 'br':
      case 'checkbox':
        return token.type;
      default:
        return textShape(token);
    }
  },

  create(token, place): Part {
    switch (token.type) {
      case 'strong':
      case 'em':
      case 'del':
        return new SpanPart(element(token.type));
      case 'element':
        return new SpanPart(element(token.name));
      case 'note_mark':
        return isMark(token, place) ? new NoteMarkPart() : textPart(token);
      case 'codespan':
        return new CodeSpanPart();
      case 'br':
        return new LineBreakPart();
      case 'checkbox':
        return new CheckboxPart();
      case 'inline_math':
        return new MathPart(element('span'), token.display);
      case 'html':
        return isLineBreak(token.raw) ? new LineBreakPart() : textPart(token);
      case 'link': {
        // An address found in the text is literal; one written as a link's target may hold references.
        const url = place.inLink ? null : safeUrl(token.autolink ? token.href : decodeReferences(token.href));
        return url === null ? new SpanPart(element('span')) : new LinkPart(url);
      }
      case 'image': {
        const url = place.inLink ? null : safeUrl(decodeReferences(token.href));
        return new ImagePart(url);
      }
      default:
        return textPart(token);
    }
  },

  weightOf(token) {
    switch (token.type) {
      case 'inline_math':
      case 'block_math':
        return 20;
      case 'link':
      case 'image':
        return 2;
      default:
        return 1;
    }
  },
};

function isMark(token: NoteMark, place: Place): boolean {
  return !place.inLink && place.answer.notes.isMark(token.label);
}

function textShape(token: MarkdownToken): string {
  return misleads(readableText(token)) ? 'flagged text' : 'text';
}

function textPart(token: MarkdownToken): Part {
  return misleads(readableText(token)) ? new FlaggedTextPart() : new TextPart();
}

/** An inline token's children. Tokens whose children the lexer has not made have only their text. */
export function childrenOf(token: MarkdownToken): readonly MarkdownToken[] {
  return 'tokens' in token && Array.isArray(token.tokens) ? (token.tokens as MarkdownToken[]) : [];
}

export class SpanPart implements Part {
  readonly node: HTMLElement;
  readonly #children = new PartList(inlineKind);

  constructor(node: HTMLElement) {
    this.node = node;
  }

  update(token: MarkdownToken, place: Place): void {
    this.#children.update(this.node, childrenOf(token), place);
  }
}

class TextPart implements Part {
  readonly node = document.createTextNode('');

  update(token: MarkdownToken): void {
    setData(this.node, readableText(token));
  }
}

/** Text with characters in it that would make it read differently: each is named. */
class FlaggedTextPart implements Part {
  readonly node = element('span');

  update(token: MarkdownToken): void {
    setReadableText(this.node, readableText(token));
  }
}

function readableText(token: MarkdownToken): string {
  switch (token.type) {
    case 'text':
      return token.escaped ? token.text : decodeReferences(token.text);
    case 'escape':
      return token.text;
    default:
      return token.raw;
  }
}

class CodeSpanPart implements Part {
  readonly node = element('code');

  update(token: MarkdownToken): void {
    const text = token.type === 'codespan' ? token.text : token.raw;
    setCodeText(this.node, text);
  }
}

class LineBreakPart implements Part {
  readonly node = element('br');

  update(): void {}
}

class CheckboxPart implements Part {
  readonly node = element('input');

  constructor() {
    this.node.type = 'checkbox';
    this.node.disabled = true;
  }

  update(token: MarkdownToken): void {
    const done = token.type === 'checkbox' && token.checked;
    this.node.checked = done;
    this.node.toggleAttribute('checked', done);
    this.node.setAttribute('aria-label', t(done ? 'prose.task_done' : 'prose.task_open'));
  }
}

class LinkPart implements Part {
  readonly node: HTMLAnchorElement;
  readonly #url: SafeUrl;
  readonly #children = new PartList(inlineKind);
  #destination: HTMLElement | null = null;

  constructor(url: SafeUrl) {
    this.node = anchor(url);
    this.#url = url;
  }

  update(token: MarkdownToken, place: Place): void {
    const children: readonly MarkdownToken[] =
      token.type === 'link' && token.autolink
        ? [{ type: 'escape', raw: token.text, text: token.text }]
        : childrenOf(token);
    this.#destination?.remove();
    this.#children.update(this.node, children, { ...place, inLink: true });
    this.#destination = namesAnotherHost(this.node.textContent ?? '', this.#url)
      ? element('span', 'link-destination')
      : null;
    if (this.#destination !== null) {
      this.#destination.textContent = ` (${this.#url.destination})`;
      this.node.append(this.#destination);
    }
  }
}

/** An image is never loaded: asking for it would tell its host that, and when, this answer was read. */
class ImagePart implements Part {
  readonly node = element('span', 'image');
  readonly #link: HTMLAnchorElement | null;
  readonly #alternative = element('span', 'image-alternative');

  constructor(url: SafeUrl | null) {
    this.node.append(this.#alternative);
    this.#link = url === null ? null : anchor(url);
    if (this.#link !== null && url !== null) {
      this.#link.textContent = t('prose.open_image', { host: url.destination });
      this.node.append(' ', this.#link);
    }
  }

  update(token: MarkdownToken): void {
    const text = token.type === 'image' ? decodeReferences(token.text) : token.raw;
    setReadableText(this.#alternative, text.trim() === '' ? t('prose.image') : text);
  }
}

function anchor(url: SafeUrl): HTMLAnchorElement {
  const made = element('a');
  made.href = url.href;
  made.rel = 'noopener noreferrer nofollow';
  made.target = '_blank';
  made.title = url.href.length > 300 ? `${url.href.slice(0, 300)}…` : url.href;
  return made;
}

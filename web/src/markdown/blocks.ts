import { t } from '$/lib/i18n.svelte';
import { AlertPart } from './alert';
import { setReadableText } from './bidi';
import { visibleBlocks } from './block_stream';
import { BareCodePart, CodePart } from './code';
import { element } from './element';
import { childrenOf, inlineKind, SpanPart } from './inline';
import type { MarkdownToken } from './lex';
import { MathPart } from './math';
import { headingOf } from './outline';
import { type Part, type PartKind, PartList, type Place } from './parts';
import { TablePart } from './table';

/** Everything that stands on lines of its own. */
export const blockKind: PartKind = {
  shapeOf(token, place) {
    switch (token.type) {
      case 'heading':
        return `${headingOf(token)} ${token.depth}`;
      case 'list':
        return token.ordered ? 'ordered list' : 'list';
      case 'list_item':
        return `item ${token.loose} ${token.task}`;
      case 'alert':
        return token.kind;
      case 'blockquote':
      case 'code':
      case 'details':
      case 'table':
      case 'hr':
      case 'block_math':
      case 'html':
      case 'paragraph':
      case 'source':
        return token.type;
      case 'text':
        return 'line';
      default:
        return inlineKind.shapeOf(token, place);
    }
  },

  create(token, place): Part {
    switch (token.type) {
      case 'heading':
        return new SpanPart(element(headingOf(token), `depth-${token.depth}`));
      case 'paragraph':
        return new ParagraphPart();
      case 'text':
        return new SpanPart(element('span'));
      case 'blockquote':
        return new ContainerPart(element('blockquote'));
      case 'alert':
        return new AlertPart(token.kind, (body) => new ContainerPart(body));
      case 'details':
        return new DetailsPart();
      case 'list':
        return new ListPart(token.ordered);
      case 'list_item':
        return new ContainerPart(element('li', token.task ? 'task' : undefined));
      case 'code':
      case 'source':
        return place.answer.mayFrameCode() ? new CodePart() : new BareCodePart();
      case 'table':
        return new TablePart();
      case 'block_math':
        return new MathPart(element('div'), true);
      case 'hr':
        return { node: element('hr'), update() {} };
      case 'html':
        return new RawHtmlPart();
      default:
        return inlineKind.create(token, place);
    }
  },

  weightOf(token) {
    switch (token.type) {
      case 'code':
      case 'source':
        return 12;
      case 'table':
        return 6;
      default:
        return inlineKind.weightOf?.(token) ?? 1;
    }
  },
};

export class ContainerPart implements Part {
  readonly node: HTMLElement;
  readonly #children = new PartList(blockKind);

  constructor(node: HTMLElement) {
    this.node = node;
  }

  update(token: MarkdownToken, place: Place): void {
    this.#children.update(this.node, visibleBlocks(childrenOf(token)), place);
  }

  destroy(): void {
    this.#children.destroy();
  }
}

/** A paragraph, or the first part of one that is read in parts: no gap is to be seen after that. */
class ParagraphPart extends SpanPart {
  constructor() {
    super(element('p'));
  }

  override update(token: MarkdownToken, place: Place): void {
    if ('cut' in token && token.cut === true) this.node.classList.add('cut');
    super.update(token, place);
  }
}

class ListPart implements Part {
  readonly node: HTMLUListElement | HTMLOListElement;
  readonly #items = new PartList(blockKind);

  constructor(ordered: boolean) {
    this.node = element(ordered ? 'ol' : 'ul');
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'list') return;
    const start = token.start === '' ? 1 : token.start;
    // To write the number that stands there would have every item laid out again.
    if (this.node instanceof HTMLOListElement && this.node.start !== start) this.node.start = start;
    this.node.classList.toggle('loose', token.loose);
    // Such numbers need more room.
    if (token.ordered && Number(token.start) + token.items.length > 100) this.node.classList.add('hundreds');
    if ('cut' in token) this.node.classList.add('cut');
    this.#items.update(this.node, token.items, place);
  }

  destroy(): void {
    this.#items.destroy();
  }
}

/** What folds out. It stands open while its end has not come: what is being written is to be seen. */
class DetailsPart implements Part {
  readonly node = element('details');
  readonly #summary = element('summary');
  readonly #words: PartList = new PartList(inlineKind);
  readonly #children = new PartList(blockKind);

  constructor() {
    this.node.append(this.#summary);
  }

  update(token: MarkdownToken, place: Place): void {
    if (token.type !== 'details') return;
    this.node.open = token.unclosed;
    const summary = token.summary ?? [{ type: 'text', raw: t('prose.details'), text: t('prose.details') }];
    this.#words.update(this.#summary, summary as MarkdownToken[], { ...place, live: false });
    this.#children.update(this.node, visibleBlocks(childrenOf(token)), place);
  }

  destroy(): void {
    this.#children.destroy();
  }
}

/** HTML that is not known is its source: nothing that a model writes becomes markup. */
class RawHtmlPart implements Part {
  readonly node = element('p', 'raw-html');

  update(token: MarkdownToken): void {
    setReadableText(this.node, token.raw.trimEnd());
  }
}

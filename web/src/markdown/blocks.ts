import { CodePart } from './code';
import { element, setText } from './element';
import { childrenOf, inlineKind, SpanPart } from './inline';
import type { MarkdownToken } from './lex';
import { MathPart } from './math';
import { headingOf } from './outline';
import { type Part, type PartKind, PartList, type Place } from './parts';
import { TablePart } from './table';

/** Everything that stands on lines of its own. */
export const blockKind: PartKind = {
  shapeOf(token) {
    switch (token.type) {
      case 'heading':
        return `${headingOf(token)} ${token.depth}`;
      case 'list':
        return token.ordered ? 'ordered list' : 'list';
      case 'list_item':
        return `item ${token.loose} ${token.task}`;
      case 'blockquote':
      case 'code':
      case 'table':
      case 'hr':
      case 'block_math':
      case 'html':
      case 'paragraph':
        return token.type;
      case 'text':
        return 'line';
      default:
        return inlineKind.shapeOf(token, { live: false, inLink: false });
    }
  },

  create(token, place): Part {
    switch (token.type) {
      case 'heading':
        return new SpanPart(element(headingOf(token), `depth-${token.depth}`));
      case 'paragraph':
        return new SpanPart(element('p'));
      case 'text':
        return new SpanPart(element('span'));
      case 'blockquote':
        return new ContainerPart(element('blockquote'));
      case 'list':
        return new ListPart(token.ordered);
      case 'list_item':
        return new ContainerPart(element('li', token.task ? 'task' : undefined));
      case 'code':
        return new CodePart();
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
};

class ContainerPart implements Part {
  readonly node: HTMLElement;
  readonly #children = new PartList(blockKind);

  constructor(node: HTMLElement) {
    this.node = node;
  }

  update(token: MarkdownToken, place: Place): void {
    const visible = childrenOf(token).filter((child) => child.type !== 'space' && child.type !== 'def');
    this.#children.update(this.node, visible, place);
  }

  destroy(): void {
    this.#children.destroy();
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
    if (this.node instanceof HTMLOListElement && token.start !== '' && token.start !== 1)
      this.node.start = token.start;
    this.node.classList.toggle('loose', token.loose);
    this.#items.update(this.node, token.items, place);
  }

  destroy(): void {
    this.#items.destroy();
  }
}

/** HTML in an answer is its source: nothing that a model writes becomes markup. */
class RawHtmlPart implements Part {
  readonly node = element('p', 'raw-html');

  update(token: MarkdownToken): void {
    setText(this.node, token.raw.trimEnd());
  }
}

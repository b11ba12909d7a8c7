import { Answer } from './answer';
import { BlockStream, normalizeLines, visibleBlocks } from './block_stream';
import { blockKind } from './blocks';
import type { Pace } from './budget';
import { releaseDiagrams } from './diagram';
import { lex, type MarkdownToken } from './lex';
import { NotesSection } from './notes_section';
import { Outline } from './outline';
import { PartList } from './parts';

/** What a block has that may read otherwise once all definitions are known: a bracket outside of code. */
const MAY_REFER = /^(?! {0,3}(?:`{3}|~{3}))[\s\S]*\[/;

/** One text as it is shown: read as far as it has come, and in the page as far as there was time. */
export class Shown {
  readonly #root: HTMLElement;
  readonly #pace: Pace;
  readonly #stream = new BlockStream();
  #source = '';
  #answer: Answer;
  #outline = new Outline();
  #parts = new PartList(blockKind);
  #section: NotesSection;
  /** Blocks that will not change and are not yet wholly in the page; then those that may change. */
  #stable: MarkdownToken[] = [];
  #open: readonly MarkdownToken[] = [];
  /** The texts of the blocks that are in the page for good. */
  #released: string[] = [];
  #closed = false;
  #readAgain = false;

  constructor(root: HTMLElement, pace: Pace) {
    this.#root = root;
    this.#pace = pace;
    this.#answer = new Answer(root, pace);
    this.#section = new NotesSection(root);
  }

  /** The text has ended: none can be added. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Characters that are read again with the next piece: the end is not certain yet. */
  get openLength(): number {
    return this.#stream.openLength;
  }

  beginSlice(): void {
    this.#answer.renewBudget();
  }

  get hasTime(): boolean {
    return this.#answer.budget.hasTime;
  }

  /** Reads the next piece of the text. */
  take(piece: string, last: boolean): void {
    if (this.#closed || (piece === '' && !last)) return;
    this.#closed = last;
    this.#source += piece;
    this.#stream.append(piece);
    const { stable, open } = last ? this.#stream.finish() : this.#stream.update();
    this.#answer.notes.add(stable);
    this.#answer.notes.preview(open);
    this.#answer.notes.complete = last;
    const visible = visibleBlocks(stable);
    this.#outline.add(visible);
    for (const block of visible) this.#stable.push(block);
    this.#open = visibleBlocks(open);
    this.#outline.preview(this.#open);
  }

  /** Puts what was read into the page, as far as the budget goes. Gives back whether that was all. */
  update(): boolean {
    const tokens = this.#open.length === 0 ? this.#stable : [...this.#stable, ...this.#open];
    const place = { live: this.#open.length > 0, inLink: false, answer: this.#answer };
    const count = this.#parts.update(this.#root, tokens, place, this.#section.inPage);
    const all = count === tokens.length;
    const done = Math.min(count, this.#stable.length);
    this.#parts.release(done);
    for (const { raw } of this.#stable.splice(0, done)) if (!this.#readAgain) this.#released.push(raw);
    if (!all) return false;
    if (this.#closed && !this.#readAgain && this.#isUncertain) {
      this.#beginAgain();
      return this.update();
    }
    return this.#section.update({ ...place, live: false });
  }

  /** A definition came after its first use: only the whole text at once tells all links and notes. */
  get #isUncertain(): boolean {
    return this.#stream.mustBeReadAgain || this.#answer.notes.mustBeShownAgain;
  }

  /** Reads the whole once more. Blocks that a definition has no say in keep their nodes. */
  #beginAgain(): void {
    this.#readAgain = true;
    this.#section.node.remove();
    this.#section = new NotesSection(this.#root);
    const { budget } = this.#answer;
    this.#answer = new Answer(this.#root, this.#pace);
    this.#answer.budget = budget;
    const { blocks } = lex(normalizeLines(this.#source));
    this.#answer.notes.add(blocks);
    this.#answer.notes.complete = true;
    this.#stable = visibleBlocks(blocks);
    this.#outline = new Outline();
    this.#outline.add(this.#stable);
    const nodes = [...this.#root.children];
    const shown = this.#released.flatMap((raw, index) => {
      const node = nodes[index];
      return node ? [{ raw, part: { node, update() {}, destroy: () => releaseDiagrams(node) } }] : [];
    });
    this.#parts = PartList.over(blockKind, shown, (raw) => MAY_REFER.test(raw));
  }
}

import { Budget, Pace } from './budget';
import { Notes } from './notes';

/** Formulas of an answer that are drawn, their elements, and diagrams: more are shown as their source. */
const MAX_FORMULAS = 700;
const MAX_FORMULA_ELEMENTS = 50_000;
const MAX_DIAGRAMS = 24;
/** Blocks of code with a bar, which scroll: more are shown bare. Each frame looks at all boxes that scroll. */
const MAX_CODE_BLOCKS = 500;

/** What the parts of one answer share. */
export class Answer {
  readonly notes = new Notes();
  budget: Budget;
  readonly #root: HTMLElement;
  readonly #pace: Pace;
  #formulas = 0;
  #formulaElements = 0;
  #diagrams = 0;
  #codeBlocks = 0;

  constructor(root: HTMLElement, pace = new Pace()) {
    this.#root = root;
    this.#pace = pace;
    this.budget = new Budget(root, pace);
  }

  /** For the next render. */
  renewBudget(): Budget {
    this.budget = new Budget(this.#root, this.#pace);
    return this.budget;
  }

  mayDrawFormula(): boolean {
    return ++this.#formulas <= MAX_FORMULAS;
  }

  /** Whether the page can bear a formula of so many elements more. */
  mayShowFormula(elements: number): boolean {
    this.#formulaElements += elements;
    return this.#formulaElements <= MAX_FORMULA_ELEMENTS;
  }

  mayFrameCode(): boolean {
    return ++this.#codeBlocks <= MAX_CODE_BLOCKS;
  }

  mayDrawDiagram(): boolean {
    return ++this.#diagrams <= MAX_DIAGRAMS;
  }
}

import { Budget, Pace } from './budget';
import { Notes } from './notes';

/** Formulas of an answer that are drawn, and diagrams: more are shown as their source. */
const MAX_FORMULAS = 2_000;
const MAX_DIAGRAMS = 24;

/** What the parts of one answer share. */
export class Answer {
  readonly notes = new Notes();
  budget: Budget;
  readonly #root: HTMLElement;
  readonly #pace: Pace;
  #formulas = 0;
  #diagrams = 0;

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

  mayDrawDiagram(): boolean {
    return ++this.#diagrams <= MAX_DIAGRAMS;
  }
}

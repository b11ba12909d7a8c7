import type { Message } from '$/api/client';
import { uuid } from '$/lib/uuid';
import type { BranchChoice } from './branch_choice';
import { branchTo, newestTip, siblingsOf } from './branches';
import { mergeMessages } from './merge';
import { MessageView } from './message.svelte';
import { plain } from './part.svelte';

/** How the tree stood before an echo, to go back to. */
export interface Standing {
  nodes: readonly MessageView[];
  tip: MessageView | null;
  chosen: boolean;
}

/** A chat's messages and the branch of them that is shown. */
export class MessageTree {
  #nodes = $state.raw<readonly MessageView[]>([]);
  #tip = $state.raw<MessageView | null>(null);
  readonly #path = $derived(branchTo(this.#nodes, this.#tip));
  readonly #running = $derived(this.#nodes.find((node) => node.live) ?? null);
  /** The last message of the branch that the server has shown. */
  head: string | null = null;
  /** When this page had it changed: what was read before is older. */
  #headKept = 0;
  /** The shown branch was chosen by hand, and isn't the one that ends in `head`. */
  #chosen = false;
  #clock = 0;
  /** Loaded with the first choice: most chats have none. */
  #choice: Promise<BranchChoice> | null = null;
  #changed = new WeakMap<MessageView, number>();

  get path(): readonly MessageView[] {
    return this.#path;
  }

  get tip(): MessageView | null {
    return this.#tip;
  }

  get running(): MessageView | null {
    return this.#running;
  }

  get empty(): boolean {
    return this.#nodes.length === 0;
  }

  /** Whose answer a new question is, where that is not what the server would take by itself. */
  get parentOfNext(): string | null {
    return this.#chosen && this.#tip?.stored ? this.#tip.id : null;
  }

  siblings(message: MessageView): readonly MessageView[] {
    return siblingsOf(this.#nodes, message);
  }

  /** Shows the branch through a message; the server keeps it for the conversation that the message is in. */
  choose(message: MessageView, conversationId: string | null): void {
    this.#tip = newestTip(this.#nodes, message);
    this.#chosen = this.#tip.id !== this.head;
    if (conversationId === null || !message.stored) return;
    const { id } = message;
    this.#choice ??= import('./branch_choice').then(
      ({ BranchChoice }) => new BranchChoice((head) => this.#keep(head)),
    );
    this.#tell((choice) => choice.keep(conversationId, id));
  }

  /** The server has accepted an answer, which is the end of the shown branch by that. */
  asked(conversationId: string, answerId: string): void {
    this.#keep(answerId);
    this.#tell((choice) => choice.asked(conversationId, answerId));
  }

  /** Signed in again: what the server has not heard of is told. */
  resume(): void {
    this.#tell((choice) => choice.resume());
  }

  /** Nothing more is told. */
  drop(): void {
    this.#tell((choice) => choice.drop());
  }

  #tell(what: (choice: BranchChoice) => void): void {
    // Where it can't be loaded, the next choice tries again.
    this.#choice?.then(what, () => {
      this.#choice = null;
    });
  }

  /** The server keeps this as the end of the branch that is shown. */
  #keep(head: string | null): void {
    this.head = head;
    this.#headKept = ++this.#clock;
    this.#chosen = this.#tip !== null && this.#tip.id !== head;
  }

  /** Shows a question before the server has it. */
  echoQuestion(text: string): MessageView {
    const question = new MessageView('user', `new-${uuid()}`, this.#tip?.id ?? null);
    question.replace(plain(text));
    this.#nodes = [...this.#nodes, question];
    return question;
  }

  /** Shows the place of an answer before the server has it. The shown branch ends in it. */
  echoAnswer(parentId: string | null, model: string | null): MessageView {
    const answer = new MessageView('assistant', `new-${uuid()}`, parentId);
    answer.status = 'running';
    answer.phase = 'sending';
    answer.model = model;
    this.#nodes = [...this.#nodes, answer];
    this.#tip = answer;
    this.#chosen = false;
    return answer;
  }

  standing(): Standing {
    return { nodes: this.#nodes, tip: this.#tip, chosen: this.#chosen };
  }

  /** Takes echoes back. */
  restore(standing: Standing): void {
    this.#nodes = standing.nodes;
    this.#tip = standing.tip;
    this.#chosen = standing.chosen;
  }

  /** A moment to compare changes with. */
  now(): number {
    return this.#clock;
  }

  /** A message has changed here: what the server said before is older. */
  touch(message: MessageView): void {
    this.#changed.set(message, ++this.#clock);
  }

  /** Whether it has changed here since: what the server said then is older. */
  changedSince(message: MessageView, asked: number): boolean {
    return (this.#changed.get(message) ?? 0) > asked;
  }

  /**
   * Takes in what the server said when it was asked at `asked` (a `now()`). `streamed` is the message that a stream writes:
   * the stream is ahead of any list.
   */
  merge(rows: readonly Message[], read: string | null, asked: number, streamed: MessageView | null): void {
    const nodes = mergeMessages(this.#nodes, rows, {
      ahead: (view) => view === streamed || this.changedSince(view, asked),
    });
    const head = this.#headKept > asked ? this.head : read;
    const moved = head !== this.head;
    this.#nodes = nodes;
    // An answer that this page is writing is newer than the head that was read.
    if (streamed === null) this.head = head;
    const kept = this.#tip !== null && nodes.includes(this.#tip) ? this.#tip : null;
    if (kept !== null && (streamed !== null || (this.#chosen && !moved))) {
      this.#tip = newestTip(nodes, kept);
      return;
    }
    // An answer may be written on another branch than the chosen one.
    const end = nodes.find((node) => node.id === head) ?? nodes.find((node) => node.live) ?? nodes.at(-1);
    this.#tip = end ? newestTip(nodes, end) : null;
    this.#chosen = false;
  }
}

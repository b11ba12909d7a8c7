import type { MessagePage } from '$/api/client';
import { uuid } from '$/lib/uuid';
import type { BranchChoice } from './branch_choice';
import { Branches } from './branches';
import type { History } from './history';
import { mergeMessages } from './merge';
import { MessageView } from './message.svelte';
import { plain } from './part.svelte';

/** Most messages of a branch that are shown: of a longer chat the newest. */
export const MOST_MESSAGES = 10_000;

/** What precedes the messages that are shown. */
export interface OlderPage {
  page: MessagePage;
  /** The message that it precedes. */
  before: string;
  /** When it was asked for: a `now()`. */
  asked: number;
}

/** How the tree stood before an echo, to go back to. */
export interface Standing {
  nodes: readonly MessageView[];
  tip: MessageView | null;
  chosen: boolean;
}

/**
 * A chat's messages, as far as they are here, and the branch of them that is shown. Of a long chat the end of that branch
 * comes first, and what precedes it later.
 */
export class MessageTree {
  #nodes = $state.raw<readonly MessageView[]>([]);
  #tip = $state.raw<MessageView | null>(null);
  readonly #branches = $derived(new Branches(this.#nodes));
  readonly #path = $derived(this.#branches.to(this.#tip));
  readonly #running = $derived(this.#nodes.find((node) => node.live) ?? null);
  /** Where what precedes the oldest message of a page is read on, by that message's id. */
  #cursors = $state.raw<ReadonlyMap<string, string | null>>(new Map());
  /** Of these the one for the shown messages; null where nothing precedes them. */
  readonly #cursor = $derived.by(() => {
    const [first] = this.#path;
    if (!first || first.parentId === null || this.#path.length >= MOST_MESSAGES) return null;
    return this.#cursors.get(first.id) ?? null;
  });
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

  /** Where what precedes the shown messages is read; null where that is all. */
  get cursor(): string | null {
    return this.#cursor;
  }

  get empty(): boolean {
    return this.#nodes.length === 0;
  }

  /** Whose answer a new question is, where that is not what the server would take by itself. */
  get parentOfNext(): string | null {
    return this.#chosen && this.#tip?.stored ? this.#tip.id : null;
  }

  siblings(message: MessageView): readonly MessageView[] {
    return this.#branches.siblings(message);
  }

  versions(message: MessageView): readonly string[] {
    return this.#branches.versions(message);
  }

  /** Messages that are taken for being written. */
  get live(): readonly string[] {
    return this.#nodes.filter((node) => node.live && node.stored).map(({ id }) => id);
  }

  /**
   * Shows the branch through a message; the server keeps it for the conversation that the message is in. False where the
   * end of that branch isn't here: nothing has changed then. `read`: it has just been read as far as it goes.
   */
  choose(id: string, conversationId: string | null, read = false): boolean {
    const message = this.#branches.get(id);
    const end = message && this.#branches.newest(message);
    if (!end || !(end.whole || read)) return false;
    this.#tip = end.tip;
    this.#chosen = this.#tip.id !== this.head;
    if (conversationId !== null && message.stored) this.#keepChoice(conversationId, id);
    return true;
  }

  #keepChoice(conversationId: string, id: string): void {
    this.#choice ??= import('./branch_choice').then(
      ({ BranchChoice }) =>
        new BranchChoice((head) => {
          // The server may see another end: what is here is out of date then, and the next look reads it.
          if (head === null || this.#branches.get(head)) this.#keep(head);
        }),
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
    const before = new Set(standing.nodes);
    // What was read meanwhile stays.
    this.#nodes = this.#nodes.filter((node) => node.stored || before.has(node));
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
   * Takes in pages of branches as they were when they were asked for at `asked` (a `now()`). `streamed` is the message that
   * a stream writes: the stream is ahead of any list.
   */
  add(pages: readonly MessagePage[], asked: number, streamed: MessageView | null): void {
    const cursors = new Map(this.#cursors);
    for (const { messages, next_cursor } of pages) {
      const [oldest] = messages;
      if (oldest) cursors.set(oldest.id, next_cursor ?? null);
    }
    const ahead = (view: MessageView) => view === streamed || this.changedSince(view, asked);
    const rows = pages.flatMap(({ messages }) => messages);
    this.#nodes = mergeMessages(this.#nodes, rows, { ahead });
    this.#cursors = cursors;
  }

  /** The same for what precedes the shown messages. */
  prepend({ page, before, asked }: OlderPage, streamed: MessageView | null): void {
    this.add([page], asked, streamed);
    // What leads nowhere is not asked for again.
    if (this.#path[0]?.id === before) this.#cursors = new Map(this.#cursors).set(before, null);
  }

  /** The same for the end of the shown branch (the first page) and what else is known of the chat. */
  merge({ conversation, pages, gone }: History, asked: number, streamed: MessageView | null): void {
    if (gone.length > 0) this.#nodes = this.#nodes.filter((node) => !gone.includes(node.id));
    this.add(pages, asked, streamed);
    const branches = this.#branches;
    const head = this.#headKept > asked ? this.head : (conversation.head_message_id ?? null);
    const moved = head !== this.head;
    // An answer that this page is writing is newer than the head that was read.
    if (streamed === null) this.head = head;
    const kept = this.#tip !== null && this.#nodes.includes(this.#tip) ? this.#tip : null;
    if (kept !== null && (streamed !== null || (this.#chosen && !moved))) {
      this.#tip = branches.newest(kept).tip;
      return;
    }
    // An answer may be written on another branch than the chosen one.
    const newest = pages[0]?.messages.at(-1)?.id;
    const end = branches.get(head ?? '') ?? branches.get(newest ?? '') ?? this.#running ?? this.#nodes.at(-1);
    this.#tip = end ? branches.newest(end).tip : null;
    this.#chosen = false;
  }
}

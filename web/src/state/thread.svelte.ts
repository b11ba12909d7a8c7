import { type Conversation, stopGeneration } from '$/api/client';
import { ApiError, messageOf, NetworkError } from '$/api/errors';
import { t } from '$/lib/i18n.svelte';
import { publish } from '$/lib/sync';
import { isBlank, wellFormed } from '$/lib/text';
import { uuid } from '$/lib/uuid';
import { AnswerStream, type End, type Source, type Start } from '$/stream/answer_stream';
import { lastModel } from './branches';
import { conversations, generationOf } from './conversations.svelte';
import { keepUnsent, moveDraft } from './drafts';
import type { History } from './history';
import type { Fault, Link, Refusal, ThreadHost, Undo } from './link';
import { chooseAfar, questionOf, tellOfKeptTurns } from './link';
import type { MessageView } from './message.svelte';
import { models } from './models.svelte';
import { type ReadChat, Reading } from './reading';
import { titleOf } from './title';
import { toasts } from './toasts.svelte';
import { MessageTree, type OlderPage } from './tree.svelte';

/** One chat: its messages, the branch that is shown, the answer that is being written. No method rejects. */
export class Thread implements ReadChat {
  conversationId = $state<string | null>(null);
  status = $state<'new' | 'loading' | 'ready' | 'missing' | 'failed'>('new');
  /** Why the last read failed. With status `ready`: what is shown may be out of date. */
  error = $state<string | null>(null);
  refusal = $state.raw<Refusal | null>(null);
  /** Stop was asked for, and the answer has not ended yet. */
  stopping = $state(false);
  #title = $state('');
  /** Chosen here, and not asked yet. */
  #picked = $state<string | null>(null);

  readonly #tree = new MessageTree();
  readonly #host: ThreadHost;
  #shown = false;
  #link: Link | null = null;
  readonly #reading = new Reading(this);
  /** Another branch is on its way, to be shown. */
  #choosing: AbortController | null = null;

  constructor(conversationId: string | null, host: ThreadHost) {
    this.#host = host;
    this.conversationId = conversationId;
    this.status = conversationId === null ? 'new' : 'loading';
  }

  get title(): string {
    const item = this.conversationId === null ? undefined : conversations.find(this.conversationId);
    return item?.title || this.#title;
  }

  /** The shown branch as far as it is here, to its tip: from the root, or from what `cursor` precedes. */
  get path(): readonly MessageView[] {
    return this.#tree.path;
  }

  /** Where what precedes the path is read; null where that is all. */
  get cursor(): string | null {
    return this.#tree.cursor;
  }

  /** The answer that is being written, on whatever branch: a conversation has one at most. */
  get running(): MessageView | null {
    return this.#tree.running;
  }

  /** Holds what exists nowhere else: it must not be forgotten. */
  get busy(): boolean {
    return this.refusal !== null || this.unaccepted;
  }

  /** The model that is asked next: the one chosen here, else the branch's last one, and only in a new chat that of those. */
  get model(): string | null {
    return this.#picked ?? lastModel(this.path) ?? models.selected;
  }

  /** Chooses the model for what is asked next, here and in new chats. */
  pick(model: string): void {
    this.#picked = model;
    models.select(model);
  }

  canRetry(message: MessageView): boolean {
    if (message.role !== 'assistant' || !message.stored || message.generationId === null) return false;
    return this.running === null && this.status === 'ready';
  }

  canContinue(message: MessageView): boolean {
    const broken = ['stopped', 'interrupted', 'failed'].includes(message.status);
    if (!broken && !(message.status === 'completed' && message.finishReason === 'length')) return false;
    return this.canRetry(message) && message === this.#tree.tip && message.length > 0;
  }

  /** A message and its siblings, of those that are here. */
  siblings(message: MessageView): readonly MessageView[] {
    return this.#tree.siblings(message);
  }

  /** The ids of the versions of a message, oldest first, its own among them. Not all of them need be here. */
  versions(message: MessageView): readonly string[] {
    return this.#tree.versions(message);
  }

  /** Shows the branch through a message, from now on and everywhere. Where its end is not here, it is read first. */
  choose(id: string): void {
    this.#choosing?.abort();
    if (this.#tree.choose(id, this.conversationId) || this.conversationId === null) return;
    const choosing = new AbortController();
    this.#choosing = choosing;
    const asked = this.#tree.now();
    void chooseAfar(this.conversationId, id, choosing.signal, (page) => {
      this.#tree.add([page], asked, this.#link?.message ?? null);
      this.#tree.choose(page.messages.at(-1)?.id ?? id, this.conversationId, true);
    });
  }

  /** Shows what precedes the path, as `Older` has read it. */
  prepend(page: OlderPage): void {
    this.#tree.prepend(page, this.#link?.message ?? null);
  }

  /** Asks. Resolves when the question was accepted or refused; a refused one is in `refusal`. */
  send(typed: string): Promise<void> {
    if (isBlank(typed)) return Promise.resolve();
    const text = wellFormed(typed);
    if (this.running !== null) {
      this.refusal = { text, message: t('toast.still_answering') };
      return Promise.resolve();
    }
    this.refusal = null;
    const before = this.#tree.standing();
    const status = this.status;
    const parent = this.#tree.parentOfNext;
    const { model } = this;
    const question = this.#tree.echoQuestion(text);
    const answer = this.#tree.echoAnswer(question.id, model);
    if (status === 'new') this.status = 'ready';
    const body = questionOf(text, this.conversationId, parent, model);
    const undo: Undo = (fault) => {
      this.#tree.restore(before);
      if (status === 'new') this.status = 'new';
      const unanswered = fault instanceof NetworkError;
      this.refusal = { text, message: messageOf(fault), ...(unanswered ? { unanswered } : {}) };
    };
    const draft = this.conversationId ?? 'new';
    if (this.conversationId !== null) conversations.want(this.conversationId);
    keepUnsent(draft, text);
    return new Promise((resolve) => {
      this.#open({ kind: 'send', body, key: uuid() }, answer, undo, () => {
        keepUnsent(draft, '');
        resolve();
      });
    });
  }

  /** Stops the answer that is being written: its stream tells of the end. A question on its way is taken back. */
  async stop(): Promise<void> {
    const message = this.running;
    if (message === null) return;
    const link = this.#link;
    if (link !== null && !link.accepted) {
      // It has no name to be stopped by yet: `#started` sees to it, if the server is there at all.
      this.stopping = true;
      if (message.phase !== 'sending') this.#takeBack(link);
    } else if (!this.stopping) {
      this.stopping = true;
      await this.#stop(message);
    }
  }

  /** Asks the same question again: a new answer beside the old one. */
  retry(message: MessageView, model?: string): void {
    if (!this.canRetry(message) || message.generationId === null) return;
    const before = this.#tree.standing();
    const isLast = message === this.#tree.tip;
    const answer = this.#tree.echoAnswer(message.parentId, model ?? message.model);
    const source: Source = {
      kind: 'retry',
      generationId: message.generationId,
      ...(model !== undefined ? { body: { model } } : {}),
      key: uuid(),
    };
    const undo: Undo = (fault) => {
      this.#tree.restore(before);
      toasts.show({ text: t('toast.retry_failed', { reason: messageOf(fault) }) });
    };
    this.#open(source, answer, undo, () => {
      if (answer.stored && !isLast) void tellOfKeptTurns(this, message);
    });
  }

  /** Goes on with an answer that was stopped, interrupted, failed after some words, or was cut at its greatest length. */
  continue(message: MessageView): void {
    if (!this.canContinue(message) || message.generationId === null) return;
    const { status, finishReason, error } = message;
    const source: Source = { kind: 'continue', generationId: message.generationId, key: uuid() };
    message.status = 'running';
    message.finishReason = null;
    message.error = null;
    message.phase = 'sending';
    this.#open(source, message, (fault) => {
      Object.assign(message, { status, finishReason, error, phase: null });
      message.settle();
      toasts.show({ text: t('toast.continue_failed', { reason: messageOf(fault) }) });
    });
  }

  /** Reads everything again and follows what runs. What is shown stays until there is something new. */
  reload(): Promise<void> {
    return this.#reading.reload();
  }

  /** Asks whether something was changed elsewhere, and reads again only if so. */
  check(): Promise<void> {
    // While a stream lives it tells of everything that can happen here.
    if (!this.#shown || this.conversationId === null || this.#link !== null) return Promise.resolve();
    if (this.status === 'missing') return Promise.resolve();
    if (this.status !== 'ready' || this.error !== null) return this.reload();
    return this.#reading.check();
  }

  /** It is looked at: brings it up to date and follows what runs. */
  show(): void {
    if (this.#shown) return;
    this.#shown = true;
    if (this.#link === null) void this.reload();
  }

  /** Nobody looks: lets go of the connection. The answer goes on without. */
  hide(): void {
    this.#shown = false;
    this.#reading.stop();
    this.#choosing?.abort();
    // Let go of before it is accepted, a question would be lost.
    if (!this.unaccepted) this.#detach();
  }

  /** Signed in again: what was refused meanwhile is asked for anew. */
  resume(): void {
    // A stream that the server had turned away goes on where it was, a question that was not accepted included.
    this.#tree.resume();
    if (this.#link !== null) this.#link.stream.open();
    else if (this.#shown) void this.reload();
  }

  /** Lets go of everything, a question on its way included. */
  discard(): void {
    this.hide();
    this.#tree.drop();
    this.#detach();
  }

  /** Its conversation is not there, or not any more. */
  vanish(): void {
    if (this.unaccepted) {
      // The question on its way hears the same, and is given back then.
      this.#reading.later();
      return;
    }
    this.#reading.cancel();
    this.#detach();
    this.status = 'missing';
    if (this.conversationId !== null) moveDraft(this.conversationId, 'new');
  }

  /** A question is on its way: its rows could not be told from its echo. */
  get unaccepted(): boolean {
    return this.#link !== null && !this.#link.accepted;
  }

  /** Something is followed, which tells of itself. */
  get followed(): boolean {
    return this.#link !== null;
  }

  get live(): readonly string[] {
    return this.#tree.live;
  }

  #open(source: Source, message: MessageView, undo: Undo, decided: () => void = () => undefined): void {
    if (source.kind !== 'attach') this.#choosing?.abort();
    // A stream that was let go of has nothing more to say here.
    const mine = () => this.#link === link;
    const stream = new AnswerStream(source, {
      started: (start) => {
        if (mine()) this.#started(link, start);
      },
      appended: (kind, text) => {
        if (!mine()) return;
        this.#reading.succeed();
        message.append(kind, text);
      },
      discarded: () => {
        if (mine()) message.discard();
      },
      phase: (phase) => {
        if (!mine()) return;
        message.phase = phase === 'ended' ? null : phase;
        // Stop was asked for when nobody knew yet that the question would not get through.
        if (this.stopping && !link.accepted && phase !== 'sending') this.#takeBack(link);
      },
      ended: (end) => {
        if (mine()) this.#ended(message, end);
      },
      refused: (fault) => {
        if (mine()) this.#refused(link, fault);
      },
      lost: () => {
        if (mine()) this.#lost(link);
      },
    });
    const link: Link = { stream, message, accepted: source.kind === 'attach', undo, decided };
    this.#link = link;
    stream.open();
  }

  #detach(): void {
    const link = this.#link;
    if (link === null) return;
    this.#link = null;
    link.stream.detach();
    link.message.phase = null;
    this.stopping = false;
  }

  #started(link: Link, start: Start): void {
    const { message } = link;
    const asked = !link.accepted;
    link.accepted = true;
    // What is being read was asked for before this was stored.
    if (asked && this.#reading.running) this.#reading.later();
    message.id = start.messageId;
    message.stored = true;
    message.generationId = start.generationId;
    message.model = start.model ?? message.model;
    message.restart(asked);
    this.#tree.touch(message);
    if (!asked) return;
    this.#asked(start);
    link.decided();
    if (this.stopping) void this.#stop(message);
    if (!this.#shown) this.#detach();
    else this.#reading.catchUpIfDue();
  }

  /** The server has accepted a question, a retry or a continuation of this page. */
  #asked(start: Start): void {
    this.#picked = null;
    const id = start.conversationId;
    const isNew = this.conversationId === null;
    this.conversationId = id;
    this.#tree.asked(id, start.messageId);
    this.#reading.forgetTime();
    if (isNew) this.#title = titleOf(this.path.findLast((message) => message.role === 'user')?.text ?? '');
    conversations.upsert({
      id,
      ...(isNew ? { title: this.#title } : {}),
      updated_at: new Date().toISOString(),
      generation_id: start.generationId,
    });
    if (isNew) this.#host.named(this);
    publish({ type: 'conversation', id, change: 'asked' });
    // The server's own title and time.
    void conversations.refresh();
  }

  #ended(message: MessageView, end: End): void {
    this.#link = null;
    this.stopping = false;
    this.#reading.succeed();
    message.end(end);
    this.#tree.touch(message);
    // The server knows.
    if (message.untimed) this.#reading.later();
    const id = this.conversationId;
    if (id !== null) {
      conversations.upsert({ id, generation_id: null });
      publish({ type: 'conversation', id, change: 'ended' });
      // A title may be on its way: the list knows.
      if (this.path.filter((shown) => shown.role === 'assistant').length === 1) void conversations.refresh();
    }
    this.#reading.catchUpIfDue();
  }

  #refused(link: Link, fault: Fault): void {
    this.#link = null;
    this.stopping = false;
    link.undo(fault);
    link.decided();
    // The chat is gone, or something runs in it that this page doesn't know of.
    const news = fault instanceof ApiError && (fault.status === 404 || fault.generationId !== undefined);
    if (news) void this.#reading.catchUp();
    else this.#reading.catchUpIfDue();
  }

  #lost(link: Link): void {
    this.#link = null;
    this.stopping = false;
    this.#tree.touch(link.message);
    if (link.accepted) {
      this.#seek(link.message);
      return;
    }
    this.#undo(link);
  }

  #takeBack(link: Link): void {
    this.#detach();
    this.#undo(link);
  }

  /** Nobody knows whether it was stored: the text goes back, and the server's list shows if it is there too. */
  #undo(link: Link): void {
    link.undo(new NetworkError('not known to be accepted'));
    link.decided();
    if (this.conversationId === null) void conversations.refresh();
    else void this.#reading.catchUp();
  }

  async #stop(message: MessageView): Promise<void> {
    if (message.generationId === null) return;
    try {
      await stopGeneration(message.generationId);
      // With no stream to tell of the end, the list does.
      if (this.#link === null) await this.#reading.catchUp();
    } catch (error) {
      this.stopping = false;
      toasts.show({ text: t('toast.stop_failed', { reason: messageOf(error) }) });
    }
  }

  /** Looks for an answer whose stream broke off for good. */
  #seek(message: MessageView): void {
    if (!this.#shown) return;
    message.phase = 'reconnecting';
    this.#reading.seek();
  }

  /** For `Reading` and `Older`: it begins to read. Gives the time by the tree's count. */
  begin(): number {
    if (this.#tree.empty) this.status = 'loading';
    return this.#tree.now();
  }

  /** For `Reading`: whether the server knows another version or answer than is shown. */
  differs(now: Conversation): boolean {
    const running = this.running?.generationId ?? null;
    return (now.head_message_id ?? null) !== this.#tree.head || generationOf(now) !== running;
  }

  /** For `Reading`: the end of what is shown, as it was when it was asked for. */
  take(history: History, asked: number): void {
    this.#tree.merge(history, asked, this.#link?.message ?? null);
    this.#title = history.conversation.title;
    this.status = 'ready';
    this.error = null;
    const { running } = this;
    const rows = history.pages.flatMap((page) => page.messages);
    const row = rows.find((message) => message.id === running?.id);
    // The place belongs to the row's words: with any others the log is read from its beginning.
    const taken = running !== null && !this.#tree.changedSince(running, asked);
    this.#attach((taken && row?.last_event_id) || null);
  }

  #attach(after: string | null): void {
    const message = this.running;
    if (!this.#shown || this.#link !== null || message === null) {
      if (message === null) this.stopping = false;
      return;
    }
    if (message.generationId === null) return;
    this.#open({ kind: 'attach', generationId: message.generationId, after }, message, () => undefined);
  }

  /** For `Reading`: it could not be read. */
  failed(error: unknown): void {
    const status = error instanceof ApiError ? error.status : 0;
    // Whatever has no such name: never was, was deleted, or belongs to somebody else.
    if (status === 404 || status === 400 || status === 422) {
      this.vanish();
      return;
    }
    // Signed out: everything stays as it is until `resume`.
    if (status === 401) return;
    this.error = messageOf(error);
    if (this.status === 'loading' && this.#tree.empty) this.status = 'failed';
    else if (this.status === 'loading') this.status = 'ready';
    if (this.#link === null && this.running !== null) this.#seek(this.running);
  }
}

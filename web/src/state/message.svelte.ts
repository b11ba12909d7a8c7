import type { Message } from '$/api/client';
import { messageOf } from '$/api/errors';
import type { End, PartKind, Phase } from '$/stream/answer_stream';
import { errorOf } from '$/stream/payload';
import type { Failure } from '$/stream/types';
import { type Content, contentsOf, PartView, ReasoningView } from './part.svelte';

export type MessageStatus = 'queued' | 'running' | 'completed' | 'stopped' | 'failed' | 'interrupted';
/** Its message is in the reader's language. */
export type AnswerError = Failure;

let keys = 0;

function translated(error: Failure): AnswerError {
  return { ...error, message: messageOf(error) };
}

/**
 * One message. Its words are plain data, kept by its parts: components react to `parts`, `status`, `phase` and `length`
 * only.
 *
 * **Invariant:** the kinds of its parts take turns, and the last one is a text: the place of the next word.
 */
export class MessageView {
  /** Stable for `{#each}`: survives the change from a temporary id to the server's. Of what was read it is the id. */
  readonly key: string;
  readonly role: 'user' | 'assistant' | 'system';
  id = $state('');
  parentId = $state<string | null>(null);
  /** The server knows it by `id`. */
  stored = $state(false);
  status = $state<MessageStatus>('completed');
  model = $state<string | null>(null);
  createdAt = $state('');
  generationId = $state<string | null>(null);
  finishReason = $state<string | null>(null);
  error = $state.raw<AnswerError | null>(null);
  /** Id of the oldest message that the model was given; null where it was given all of them. */
  remembersFrom = $state<string | null>(null);
  /** Ids of its versions as they were when it was read, oldest first, itself among them. */
  siblings = $state.raw<readonly string[]>([]);
  /** Where its stream is; null without one. */
  phase = $state<Phase | null>(null);
  /** Characters (UTF-16 code units) of the text, updated at most once a frame. */
  length = $state(0);
  /** Changes when one begins or goes, not with their words. */
  parts = $state.raw<readonly PartView[]>([new PartView('text')]);

  /** The part that its log is at. What stands behind it a log that is read again has yet to confirm. */
  #at = 0;
  /** What comes is heard as it is made. */
  #timed = false;
  #frame: number | null = null;

  constructor(role: MessageView['role'], id: string, parentId: string | null, key = `m${++keys}`) {
    this.key = key;
    this.role = role;
    this.id = id;
    this.parentId = parentId;
    this.createdAt = new Date().toISOString();
  }

  static of(message: Message): MessageView {
    const role = message.role === 'user' || message.role === 'system' ? message.role : 'assistant';
    const view = new MessageView(role, message.id, message.parent_id ?? null, message.id);
    view.take(message);
    return view;
  }

  /** All its text, without what was thought. Its words are not reactive. */
  get text(): string {
    return this.#texts.map((part) => part.text).join('');
  }

  /** Being written, or about to be. */
  get live(): boolean {
    return this.status === 'running' || this.status === 'queued';
  }

  /** Whether its model has thought for a time that this page could not tell. */
  get untimed(): boolean {
    return this.parts.some((part) => part instanceof ReasoningView && part.duration === null);
  }

  get #texts(): readonly PartView[] {
    return this.parts.filter((part) => part.kind === 'text');
  }

  /** Takes all that the server's row says. */
  take(message: Message): void {
    this.id = message.id;
    this.parentId = message.parent_id ?? null;
    this.stored = true;
    this.status = message.status as MessageStatus;
    this.model = message.model ?? null;
    this.createdAt = message.created_at;
    this.generationId = message.generation_id ?? null;
    this.finishReason = message.finish_reason ?? null;
    this.remembersFrom = message.remembers_from ?? null;
    this.siblings = message.siblings ?? this.siblings;
    this.error = message.error_code
      ? translated(errorOf(message.error_code, { retryable: true, ...message.error }))
      : null;
    if (!this.live) this.phase = null;
    this.replace(contentsOf(message));
  }

  /** It holds this now. What is shown of a part stays untouched where it only grows. */
  replace(contents: readonly Content[]): void {
    // From the end: there the kinds are the same, however many there are.
    const parts = contents.map(({ kind, text, duration }, n) => {
      const part = this.parts.at(n - contents.length) ?? partOf(kind);
      part.replace(text);
      if (part instanceof ReasoningView) part.duration = duration ?? part.duration;
      return part;
    });
    if (parts.length !== this.parts.length) this.parts = parts;
    // Before an empty text, the model still thinks.
    this.#at = Math.max(0, parts.length - (parts.at(-1)?.text === '' ? 2 : 1));
    for (const [n, part] of parts.entries()) {
      const live = this.live && n >= this.#at;
      if (part instanceof ReasoningView) part.told(live);
      if (!live) part.finish();
    }
    this.#measure();
  }

  /**
   * Its log begins again. Its parts stay in sight until the log has said something else, or more. `timed`: from here on it
   * tells as it is made what it has not told before.
   */
  restart(timed = false): void {
    this.#timed = timed;
    this.#at = 0;
    for (const part of this.parts) part.restart();
  }

  append(kind: PartKind, text: string): void {
    const part = this.#turnTo(kind);
    if (part.append(text) && part instanceof ReasoningView) part.heard(this.#timed);
    this.#measureSoon();
  }

  /** What was thought since the last text is void: the model is asked again. */
  discard(): void {
    if (this.#here.kind !== 'reasoning') return;
    const first = this.#at === 0;
    // With it goes the text behind it, where one before it goes on.
    this.parts = this.parts.toSpliced(this.#at, first ? 1 : 2);
    if (!first) this.#at -= 1;
  }

  end(end: End): void {
    this.#cut();
    this.status = end.status;
    this.finishReason = end.finishReason;
    this.error = end.error ? translated(end.error) : null;
    this.phase = null;
    this.settle();
  }

  /** No more is going to come for now: listeners draw their final state. */
  settle(): void {
    this.#measure();
    for (const part of this.parts) part.finish();
  }

  get #here(): PartView {
    return this.parts[this.#at] as PartView;
  }

  /** The part that the log goes on with. */
  #turnTo(kind: PartKind): PartView {
    const here = this.#here;
    if (here.kind === kind) return here;
    if (kind === 'reasoning' && here.unread) {
      // The model thinks before this text.
      this.parts = this.parts.toSpliced(this.#at, 0, partOf(kind));
      return this.#here;
    }
    here.cut();
    here.finish();
    if (here.text === '') this.parts = this.parts.toSpliced(this.#at, 1);
    else this.#at += 1;
    if (this.#at >= this.parts.length) this.parts = [...this.parts, partOf('reasoning'), partOf('text')];
    return this.#here;
  }

  /** A log that ended before it reached what is shown has the last word. */
  #cut(): void {
    const here = this.#here;
    here.cut();
    const parts = this.parts.slice(0, this.#at + (here.text === '' ? 0 : 1));
    if (parts.at(-1)?.kind !== 'text') {
      const last = this.parts.at(-1) as PartView;
      last.replace('');
      parts.push(last);
    }
    if (parts.length !== this.parts.length) this.parts = parts;
  }

  #measureSoon(): void {
    this.#frame ??= requestAnimationFrame(() => this.#measure());
  }

  #measure(): void {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.length = this.#texts.reduce((sum, part) => sum + part.text.length, 0);
  }
}

function partOf(kind: PartKind): PartView {
  return kind === 'reasoning' ? new ReasoningView() : new PartView(kind);
}

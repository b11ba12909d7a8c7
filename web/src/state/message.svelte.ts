import type { Message } from '$/api/client';
import { messageOf } from '$/api/errors';
import type { End, Phase } from '$/stream/answer_stream';
import { errorOf } from '$/stream/payload';
import type { Failure } from '$/stream/types';

export interface TextListener {
  /** Replaces whatever was shown. */
  reset(text: string): void;
  append(text: string): void;
  /** No more text is going to come. */
  finish(): void;
}

export type MessageStatus = 'queued' | 'running' | 'completed' | 'stopped' | 'failed' | 'interrupted';
/** Its message is in the reader's language. */
export type AnswerError = Failure;

let keys = 0;

function translated(error: Failure): AnswerError {
  return { ...error, message: messageOf(error) };
}

/**
 * One message. Its text is plain data: the stream appends to it hundreds of times a second, and listeners are told.
 * Components react to `status`, `phase` and `length` only.
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

  #text = '';
  /** While a log is read again from its start: how much of the shown text it has confirmed. Null otherwise. */
  #confirmed: number | null = null;
  #listeners = new Set<TextListener>();
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
    view.replace(message.content);
    return view;
  }

  /** The whole text. Not reactive: `follow` tells of changes. */
  get text(): string {
    return this.#text;
  }

  /** Being written, or about to be. */
  get live(): boolean {
    return this.status === 'running' || this.status === 'queued';
  }

  /** Calls `reset` with the text so far at once, then tells of every change, until the returned function is called. */
  follow(listener: TextListener): () => void {
    this.#listeners.add(listener);
    listener.reset(this.#text);
    if (!this.live) listener.finish();
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Takes everything but the text from the server's row. */
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
  }

  /** The text is this one now. What is shown of it stays untouched where it only grows. */
  replace(text: string): void {
    this.#confirmed = null;
    if (text === this.#text) return;
    if (text.startsWith(this.#text)) {
      this.#push(text.slice(this.#text.length));
    } else {
      this.#text = text;
      for (const listener of this.#listeners) listener.reset(text);
    }
    this.#measure();
  }

  /** Its log begins again. The text stays in sight until the log has said something else, or more. */
  restart(): void {
    this.#confirmed = this.#text.length === 0 ? null : 0;
  }

  append(text: string): void {
    if (this.#confirmed === null) {
      this.#push(text);
      this.#measureSoon();
      return;
    }
    const at = this.#confirmed;
    const open = this.#text.length - at;
    if (text.length < open && this.#text.startsWith(text, at)) {
      this.#confirmed = at + text.length;
    } else if (text.length >= open && text.startsWith(this.#text.slice(at))) {
      this.#confirmed = null;
      if (text.length > open) this.#push(text.slice(open));
    } else {
      this.replace(this.#text.slice(0, at) + text);
    }
    this.#measureSoon();
  }

  end(end: End): void {
    // A log that ended before it reached what is shown has the last word.
    if (this.#confirmed !== null) this.replace(this.#text.slice(0, this.#confirmed));
    this.status = end.status;
    this.finishReason = end.finishReason;
    this.error = end.error ? translated(end.error) : null;
    this.phase = null;
    this.settle();
  }

  /** No more text is going to come for now: listeners draw their final state. */
  settle(): void {
    this.#measure();
    for (const listener of this.#listeners) listener.finish();
  }

  #push(text: string): void {
    this.#text += text;
    for (const listener of this.#listeners) listener.append(text);
  }

  #measureSoon(): void {
    this.#frame ??= requestAnimationFrame(() => this.#measure());
  }

  #measure(): void {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.length = this.#text.length;
  }
}

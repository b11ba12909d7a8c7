import type { ApiError, NetworkError } from '$/api/errors';

/** What to follow, or what to ask for and then follow. `key` is the Idempotency-Key of the request. */
export type Source =
  | {
      kind: 'send';
      body: { message: string; conversation_id?: string; parent_id?: string; model?: string };
      key: string;
    }
  | { kind: 'continue'; generationId: string; key: string }
  | { kind: 'retry'; generationId: string; body?: { model?: string }; key: string }
  /** `after` is the `last_event_id` of the text that the caller has; null: from the beginning. */
  | { kind: 'attach'; generationId: string; after: string | null };

/**
 * How the stream is, for people.
 *
 * `sending`: not accepted yet. `waiting`: accepted, no word yet. `streaming`: words or thoughts come. `quiet`: nothing came for too
 * long, not even a heartbeat. `held`: something on the way holds the answer back. `offline`: the
 * connection fails and the device says that it has none.
 */
export type Phase =
  | 'sending'
  | 'waiting'
  | 'streaming'
  | 'quiet'
  | 'held'
  | 'reconnecting'
  | 'offline'
  | 'ended';

/** What the words of an answer are: what it says, or what the model thinks before. */
export type PartKind = 'text' | 'reasoning';

/** What the first event says. */
export interface Start {
  generationId: string;
  conversationId: string;
  messageId: string;
  model: string | null;
}

/** Why an answer failed. */
export interface Failure {
  code: string;
  /** For people. */
  message: string;
  retryable: boolean;
  /** Seconds after which it may help, where the provider has said so. */
  retryAfter?: number;
  /** Names the request in the server's log. */
  requestId?: string;
  /** The provider's own words, where this user may read them. */
  detail?: string;
}

/** What the last event says. */
export interface End {
  status: 'completed' | 'stopped' | 'failed' | 'interrupted';
  finishReason: string | null;
  error: Failure | null;
}

/**
 * Where an answer goes.
 *
 * Exactly one of `ended`, `refused` and `lost` is called, once, and nothing after it, unless the
 * stream is detached first or the session has ended.
 */
export interface AnswerSink {
  /** The whole answer follows: discard what there is of this message's parts. */
  started(start: Start): void;
  /** More of a part: never empty, never twice, never out of order; once for all of a kind in a row that one read brought. */
  appended(kind: PartKind, text: string): void;
  /** The model is asked again: discard the reasoning since the last text. */
  discarded(): void;
  phase(phase: Phase): void;
  ended(end: End): void;
  /** The request was not accepted: nothing was stored. Only phases came before. */
  refused(error: ApiError | NetworkError): void;
  /** The log is gone: the caller reads the messages again. */
  lost(): void;
}

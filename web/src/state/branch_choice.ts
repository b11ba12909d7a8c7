import { chooseBranch } from '$/api/client';
import { ApiError } from '$/api/errors';
import { Retries } from '$/lib/backoff';
import { publish } from '$/lib/sync';

/** How often in a row the server is told in vain. */
const ATTEMPTS = 8;

interface Chosen {
  conversationId: string;
  messageId: string;
}

/**
 * Has the server keep which branch of a chat is shown. One request at a time, so that the newest choice is the last one that
 * the server hears of. Nobody waits for it, and where it fails what is shown stays: it is tried again a few times.
 */
export class BranchChoice {
  /** What the server has not confirmed. */
  #wanted: Chosen | null = null;
  #sending = false;
  #failures = 0;
  readonly #retries = new Retries();
  readonly #kept: (head: string | null) => void;

  /** `kept` is told the head that the server has then. */
  constructor(kept: (head: string | null) => void) {
    this.#kept = kept;
  }

  keep(conversationId: string, messageId: string): void {
    this.#wanted = { conversationId, messageId };
    this.#failures = 0;
    this.resume();
  }

  /** Something was asked: its answer is the head by itself, once no older choice is on its way. */
  asked(conversationId: string, answerId: string): void {
    if (this.#sending) this.keep(conversationId, answerId);
    else this.drop();
  }

  /** Tells the server what it has not heard yet. */
  resume(): void {
    this.#retries.cancel();
    if (!this.#sending && this.#wanted !== null) void this.#send(this.#wanted);
  }

  drop(): void {
    this.#wanted = null;
    this.#retries.cancel();
  }

  async #send(chosen: Chosen): Promise<void> {
    this.#sending = true;
    let head: string | null = null;
    let fault: unknown = null;
    try {
      head = (await chooseBranch(chosen.conversationId, chosen.messageId)).head_message_id ?? null;
    } catch (error) {
      fault = error;
    }
    this.#sending = false;
    if (this.#wanted !== chosen) {
      // Chosen anew, or not wanted any more, while this was on its way.
      this.resume();
    } else if (fault === null) {
      this.#wanted = null;
      this.#retries.succeed();
      this.#kept(head);
      publish({ type: 'conversation', id: chosen.conversationId, change: 'chosen' });
    } else {
      this.#failed(fault);
    }
  }

  #failed(fault: unknown): void {
    const status = fault instanceof ApiError ? fault.status : 0;
    // Signed out: until `resume`.
    if (status === 401) return;
    this.#failures += 1;
    const refused = status >= 400 && status < 500 && status !== 408 && status !== 429;
    if (refused || this.#failures >= ATTEMPTS) this.#wanted = null;
    else this.#retries.again(() => this.resume());
  }
}

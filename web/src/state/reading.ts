import type { Conversation } from '$/api/client';
import { Retries } from '$/lib/backoff';
import { readConversation } from './conversations.svelte';
import { type History, readHistory } from './history';

/** The chat that is read: what a reading asks of it, and what it tells it. None of these rejects. */
export interface ReadChat {
  readonly conversationId: string | null;
  /** Its newest question is not accepted yet: its rows could not be told from its echo. */
  readonly unaccepted: boolean;
  /** Something is followed here, which tells of itself. */
  readonly followed: boolean;
  /** Messages that are taken for being written. */
  readonly live: readonly string[];
  /** Reading begins. Gives the time by the chat's own count. */
  begin(): number;
  /** The end of what it shows, as it was when it was asked for. */
  take(history: History, asked: number): void;
  /** Whether the server knows another version or answer of it than is shown. */
  differs(conversation: Conversation): boolean;
  failed(error: unknown): void;
}

/**
 * Reads a chat again, whenever there is a reason to, and compares what is shown with what the server has.
 *
 * **Invariant:** one reading runs at a time; a reason that comes meanwhile leads to one more.
 */
export class Reading {
  readonly #chat: ReadChat;
  readonly #retries = new Retries();
  /** The conversation's `updated_at` when it was last read; null where this page has changed it since. */
  #seenAt: string | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #checking: Promise<void> | null = null;
  #abort: AbortController | null = null;

  constructor(chat: ReadChat) {
    this.#chat = chat;
  }

  get running(): boolean {
    return this.#running !== null;
  }

  /** Reads. Calls while one runs lead to one more. */
  reload(): Promise<void> {
    const id = this.#chat.conversationId;
    if (id === null) return Promise.resolve();
    if (this.#chat.unaccepted) {
      // Before the server has named its rows, they could not be told from the echo.
      this.#again = true;
      return Promise.resolve();
    }
    if (this.#running) {
      this.#again = true;
      return this.#running;
    }
    const reading = this.#read(id).finally(() => {
      if (this.#running === reading) this.#running = null;
      if (!this.#chat.unaccepted) this.catchUpIfDue();
    });
    this.#running = reading;
    return reading;
  }

  /** Asks whether something was changed elsewhere, and reads again only if so. */
  check(): Promise<void> {
    const id = this.#chat.conversationId;
    if (id === null) return Promise.resolve();
    this.#checking ??= this.#compare(id).finally(() => {
      this.#checking = null;
    });
    return this.#checking;
  }

  /** There is a reason to read again, when that is possible. */
  later(): void {
    this.#again = true;
  }

  catchUp(): Promise<void> {
    this.#again = false;
    return this.reload();
  }

  catchUpIfDue(): void {
    if (this.#again) void this.catchUp();
  }

  /** Reads when it is time, after what was looked for was not found or could not be followed. */
  seek(): void {
    this.#retries.again(() => void this.catchUp());
  }

  /** What is followed tells of itself. */
  succeed(): void {
    this.#retries.succeed();
  }

  /** This page has changed the conversation: whatever time the server gives it says nothing. */
  forgetTime(): void {
    this.#seenAt = null;
  }

  /** What is under way is not wanted any more. */
  cancel(): void {
    this.#abort?.abort();
    this.#retries.cancel();
  }

  /** The same, for a chat that nobody looks at: nothing is due either. */
  stop(): void {
    this.cancel();
    this.#abort = null;
    this.#running = null;
    this.#again = false;
  }

  async #read(id: string): Promise<void> {
    const asked = this.#chat.begin();
    const abort = new AbortController();
    this.#abort = abort;
    try {
      const live = this.#chat.followed ? null : this.#chat.live;
      const history = await readHistory(id, live, abort.signal);
      if (abort.signal.aborted) return;
      // Asked for a moment before a question was sent: its rows may be in there, without their names being known.
      if (this.#chat.unaccepted) {
        this.#again = true;
        return;
      }
      this.#seenAt = history.conversation.updated_at;
      this.#retries.cancel();
      this.#chat.take(history, asked);
    } catch (error) {
      if (!abort.signal.aborted) this.#chat.failed(error);
    }
  }

  async #compare(id: string): Promise<void> {
    try {
      const now = await readConversation(id);
      // Something was begun here meanwhile, and tells of itself.
      if (this.#chat.followed) return;
      const moved = this.#seenAt !== null && now.updated_at !== this.#seenAt;
      this.#seenAt = now.updated_at;
      if (moved || this.#chat.differs(now)) await this.reload();
    } catch (error) {
      this.#chat.failed(error);
    }
  }
}

import type { MessagePage } from '$/api/client';
import { ApiError } from '$/api/errors';
import { Retries } from '$/lib/backoff';
import { readBranch } from './history';
import type { Thread } from './thread.svelte';
import type { OlderPage } from './tree.svelte';

type Pages = Pick<Thread, 'conversationId' | 'path' | 'cursor' | 'begin'>;

const NOTHING: MessagePage = { messages: [], next_cursor: null };

/**
 * Reads what precedes the shown messages of a chat, a page at a time. A server that is away is asked again until it is back.
 * Whoever looks at the chat has one, and says when a page is to be shown: `Thread.prepend`.
 */
export class Older {
  readonly #thread: Pages;
  readonly #retries = new Retries();
  readonly #abort = new AbortController();
  #reading: Promise<OlderPage | null> | null = null;

  constructor(thread: Pages) {
    this.#thread = thread;
  }

  /** Null where there is none, nobody is signed in, or it is not wanted any more. Never rejects. */
  read(): Promise<OlderPage | null> {
    this.#reading ??= this.#next().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** Nothing more is wanted. */
  stop(): void {
    this.#abort.abort();
    this.#retries.cancel();
  }

  async #next(): Promise<OlderPage | null> {
    const { conversationId, cursor } = this.#thread;
    const [first] = this.#thread.path;
    if (conversationId === null || cursor === null || !first) return null;
    const before = first.id;
    const asked = this.#thread.begin();
    const page = await this.#read(conversationId, cursor);
    return page && { page, before, asked };
  }

  async #read(id: string, cursor: string): Promise<MessagePage | null> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        const page = await readBranch(id, 'head', { cursor, signal });
        this.#retries.succeed();
        return signal.aborted ? null : page;
      } catch (error) {
        const status = error instanceof ApiError ? error.status : 0;
        if (status === 401) return null;
        // It is not there: what is here is all that can be had.
        if (status === 400 || status === 404 || status === 422) return NOTHING;
        if (!signal.aborted) await new Promise<void>((resolve) => this.#retries.again(resolve));
      }
    }
    return null;
  }
}

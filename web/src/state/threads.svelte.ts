import { untrack } from 'svelte';
import { connection } from '$/api/connection.svelte';
import { navigate, router } from '$/lib/router.svelte';
import { subscribe } from '$/lib/sync';
import { conversations } from './conversations.svelte';
import { Thread } from './thread.svelte';

/** Most chats kept: going back to one of them shows it at once. */
const MOST = 5;

/** Makes something with reactive parts that outlive the component which asks for it. */
function apart<T>(make: () => T): T {
  const made: T[] = [];
  $effect.root(() => {
    made.push(make());
  });
  return made[0] as T;
}

/** The chats that were opened last. One of them is shown, and only that one holds a connection. */
class Threads {
  /** The one that was used last comes last. */
  #kept: Thread[] = [];
  #shown: Thread | null = null;
  #wanted: Thread | null = null;
  #settling = false;
  #listening = false;

  /** Those that were opened last, the one that was used last at the end. */
  get kept(): readonly Thread[] {
    return this.#kept;
  }

  /**
   * The thread of a conversation; null: of a new chat, which stays the same thread when it gets its conversation.
   * It counts as shown from now on instead of the one before. Safe to call in a `$derived`: it changes no state at once.
   */
  open(conversationId: string | null): Thread {
    return untrack(() => {
      this.#listen();
      const found = this.#kept.find((thread) => thread.conversationId === conversationId);
      const thread =
        found ?? apart(() => new Thread(conversationId, { named: (named) => this.#named(named) }));
      this.#kept = [...this.#kept.filter((kept) => kept !== thread), thread];
      this.#want(thread);
      return thread;
    });
  }

  /** It is not shown any more. Opened again in the same turn, nothing happens to it. */
  close(thread: Thread): void {
    if (this.#wanted === thread) this.#want(null);
  }

  /** Signed in again after the session had run out. */
  resume(): void {
    for (const thread of this.#kept) thread.resume();
  }

  /** Forgets everything: another user is going to sign in. */
  reset(): void {
    for (const thread of this.#kept) thread.discard();
    this.#kept = [];
    this.#shown = null;
    this.#wanted = null;
  }

  #want(thread: Thread | null): void {
    this.#wanted = thread;
    if (this.#settling) return;
    this.#settling = true;
    queueMicrotask(() => {
      this.#settling = false;
      this.#settle();
    });
  }

  #settle(): void {
    const wanted = this.#wanted;
    if (wanted !== this.#shown) {
      this.#shown?.hide();
      this.#shown = wanted;
      wanted?.show();
      const id = wanted?.conversationId ?? null;
      conversations.setOpen(id);
      if (id !== null) conversations.want(id);
    }
    for (const thread of this.#kept) {
      if (this.#kept.length <= MOST) break;
      if (thread !== wanted && !thread.busy) this.#kept = this.#kept.filter((kept) => kept !== thread);
    }
  }

  #named(thread: Thread): void {
    if (thread !== this.#wanted) return;
    conversations.setOpen(thread.conversationId);
    const { route } = router;
    if (route.name === 'chat' && route.id === null)
      navigate(`/c/${thread.conversationId}`, { replace: true });
  }

  #check(): void {
    // A hidden tab asks when it is looked at again.
    if (document.visibilityState === 'visible') void this.#shown?.check();
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const check = () => this.#check();
    window.addEventListener('focus', check);
    connection.onreturn(check);
    document.addEventListener('visibilitychange', check);
    conversations.ondeleted((id) => {
      for (const thread of this.#kept) if (thread.conversationId === id) thread.vanish();
    });
    subscribe((event) => {
      if (
        event.type === 'conversation' &&
        event.change !== 'opened' &&
        event.id === this.#shown?.conversationId
      )
        this.#check();
    });
  }
}

export const threads = new Threads();

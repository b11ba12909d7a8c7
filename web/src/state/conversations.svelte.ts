import {
  type Conversation,
  deleteConversation,
  getConversation,
  listConversations,
  renameConversation,
} from '$/api/client';
import { connection } from '$/api/connection.svelte';
import { ApiError, messageOf } from '$/api/errors';
import { formatMonth, t } from '$/lib/i18n.svelte';
import { navigate, router } from '$/lib/router.svelte';
import { publish, subscribe } from '$/lib/sync';
import { isBlank, wellFormed } from '$/lib/text';
import { type Period, periodOf, untilMidnight } from '$/lib/time';
import { keepDraft } from './drafts';
import { toasts } from './toasts.svelte';

/** How often the list is asked while an answer is written in a chat that isn't open. */
const WATCH_EVERY_MS = 3000;
/** How soon it is asked whether a chat has got its title: after the first of these, then ever later, up to the second. */
const TITLE_PAUSE_MS = [1000, 8000] as const;
/** How long Undo is offered. */
const UNDO_SECONDS = 6;
const PAGE = 50;

/** What is known about a conversation: the whole of it, or what has just changed. */
export type ConversationChange = Pick<Conversation, 'id'> &
  Partial<Pick<Conversation, 'title' | 'updated_at' | 'title_pending'>> & { generation_id?: string | null };

export class ConversationItem {
  readonly id: string;
  title = $state('');
  /** RFC 3339. */
  updatedAt = $state('');
  /** A model is about to give it a title. */
  titlePending = false;
  /** What runs in it, or null. */
  generationId = $state<string | null>(null);
  /** An answer was finished here while another chat was open. */
  unread = $state(false);
  /** When this was last changed, by the store's own count: an answer to an earlier question is stale. */
  changed = 0;
  /** The server's title, while a new one is on its way to it. */
  knownTitle = '';
  /** Which renaming is on its way; 0 = none. */
  renaming = 0;

  constructor(id: string) {
    this.id = id;
  }
}

export interface ConversationGroup {
  key: Period;
  label: string;
  items: readonly ConversationItem[];
}

function labelOf(period: Period, moment: string): string {
  switch (period) {
    case 'today':
      return t('time.today');
    case 'yesterday':
      return t('time.yesterday');
    case 'week':
      return t('time.week');
    case 'month':
      return t('time.month');
    default:
      return formatMonth(moment);
  }
}

/** What the server says of a conversation is all there is: where it names no generation, none runs. */
function whole(conversation: Conversation): ConversationChange {
  return { ...conversation, generation_id: generationOf(conversation) };
}

/** The generation that runs in a conversation, or null. */
export function generationOf(conversation: Conversation): string | null {
  return (conversation as ConversationChange).generation_id ?? null;
}

function newestFirst(a: ConversationItem, b: ConversationItem): number {
  const difference = Date.parse(b.updatedAt) - Date.parse(a.updatedAt);
  if (difference !== 0) return difference;
  return a.id < b.id ? 1 : -1;
}

/** The list of chats. Every method may be called at any time; none rejects. */
export class Conversations {
  status = $state<'idle' | 'loading' | 'ready' | 'failed'>('idle');
  error = $state<string | null>(null);
  loadingMore = $state(false);
  #all = $state.raw<readonly ConversationItem[]>([]);
  #hidden = $state.raw<ReadonlySet<string>>(new Set());
  #cursor = $state<string | null>(null);
  #now = $state.raw(new Date());
  #openId: string | null = null;
  #clock = 0;
  /** Counts resets: what was asked for before one is not for this user. */
  #life = 0;
  #refresh: Promise<void> | null = null;
  #refreshAgain = false;
  /** Waiting for Undo: the toast of each. */
  #deleting = new Map<string, number>();
  /** Deleted by this page: a list that was asked for before may still hold them. */
  #gone = new Set<string>();
  #deleted = new Set<(id: string) => void>();
  #signedOut = false;
  #watch: ReturnType<typeof setTimeout> | null = null;
  #titlePause: number = TITLE_PAUSE_MS[0];
  #midnight: ReturnType<typeof setTimeout> | null = null;
  #listening = false;

  readonly #items = $derived(this.#all.filter((item) => !this.#hidden.has(item.id)));
  readonly #groups = $derived.by(() => {
    const groups: { key: Period; label: string; items: ConversationItem[] }[] = [];
    for (const item of this.#items) {
      const key = periodOf(new Date(item.updatedAt), this.#now);
      const last = groups.at(-1);
      if (last?.key === key) last.items.push(item);
      else groups.push({ key, label: labelOf(key, item.updatedAt), items: [item] });
    }
    return groups;
  });

  /** Newest first, without what is being deleted. */
  get items(): readonly ConversationItem[] {
    return this.#items;
  }

  /** The items by the calendar day of their last change. */
  get groups(): readonly ConversationGroup[] {
    return this.#groups;
  }

  get hasMore(): boolean {
    return this.#cursor !== null;
  }

  find(id: string): ConversationItem | undefined {
    return this.#all.find((item) => item.id === id);
  }

  /** Asks for the newest again and merges them in. Calls while one runs lead to one more. */
  refresh(): Promise<void> {
    this.#listen();
    if (this.#refresh) {
      this.#refreshAgain = true;
      return this.#refresh;
    }
    const run = this.#runRefresh().finally(() => {
      if (this.#refresh === run) this.#refresh = null;
      this.#watchRunning();
    });
    this.#refresh = run;
    return run;
  }

  /** The next page of older ones. */
  async loadMore(): Promise<void> {
    const cursor = this.#cursor;
    if (cursor === null || this.loadingMore) return;
    const life = this.#life;
    this.loadingMore = true;
    const asked = ++this.#clock;
    try {
      const page = await listConversations({ cursor, limit: PAGE });
      if (life !== this.#life) return;
      for (const conversation of page.conversations) this.#merge(whole(conversation), asked);
      this.#cursor = page.next_cursor ?? null;
      this.#sort();
    } catch (error) {
      if (life === this.#life) toasts.show({ text: t('toast.list_failed', { reason: messageOf(error) }) });
    } finally {
      if (life === this.#life) this.loadingMore = false;
    }
  }

  /** Takes in what is known about one conversation; a new one needs a title. */
  upsert(change: ConversationChange): void {
    this.#listen();
    this.#merge(change, Number.POSITIVE_INFINITY);
    this.#sort();
    this.#watchRunning();
  }

  /** Which chat is open: it is never unread, and its own stream tells when its answer is done. */
  setOpen(id: string | null): void {
    this.#openId = id;
    const item = id === null ? undefined : this.find(id);
    if (item) item.unread = false;
    this.#watchRunning();
  }

  /** Shows the new title at once; the old one comes back, with a toast, if the server refuses it. */
  async rename(id: string, title: string): Promise<void> {
    const item = this.find(id);
    const wanted = wellFormed(title.trim());
    if (!item || isBlank(wanted) || wanted === item.title) return;
    const life = this.#life;
    const turn = ++this.#clock;
    if (item.renaming === 0) item.knownTitle = item.title;
    item.title = wanted;
    item.renaming = turn;
    try {
      const renamed = await renameConversation(id, wanted);
      if (life !== this.#life) return;
      item.knownTitle = renamed.title;
      // A newer title that is on its way stays in sight.
      if (item.renaming === turn) item.renaming = 0;
      this.upsert(whole(renamed));
      publish({ type: 'conversation', id, change: 'renamed' });
    } catch (error) {
      if (life !== this.#life) return;
      if (item.renaming === turn) {
        item.renaming = 0;
        item.title = item.knownTitle;
      }
      toasts.show({ text: t('toast.rename_failed', { reason: messageOf(error) }) });
    }
  }

  /** Takes a chat away at once and deletes it when its toast has gone without Undo. */
  remove(id: string): void {
    const item = this.find(id);
    if (!item || this.#deleting.has(id)) return;
    const wasOpen = router.route.name === 'chat' && router.route.id === id;
    this.#hide(id, true);
    if (wasOpen) navigate('/');
    const toast = toasts.show({
      text: t('toast.deleted', { title: item.title }),
      seconds: UNDO_SECONDS,
      action: {
        label: t('toast.undo'),
        run: () => {
          this.#keep(id);
          if (wasOpen && router.path === '/') navigate(`/c/${id}`);
        },
      },
      onclose: () => void this.#delete(id, false),
    });
    this.#deleting.set(id, toast);
  }

  /** The chat is opened, or asked in: if it waits for Undo, here or in another tab, that was it. */
  want(id: string): void {
    this.#keep(id);
    publish({ type: 'conversation', id, change: 'opened' });
  }

  /** Calls the listener when a chat that was deleted here is gone for good. */
  ondeleted(listener: (id: string) => void): void {
    this.#deleted.add(listener);
  }

  /** Carries out at once what is waiting for Undo. */
  async flush(keepalive = false): Promise<void> {
    await Promise.all(
      [...this.#deleting].map(([id, toast]) => {
        const done = this.#delete(id, keepalive);
        toasts.dismiss(toast);
        return done;
      }),
    );
  }

  /** Forgets everything: another user is going to sign in. */
  reset(): void {
    this.#life += 1;
    this.#all = [];
    this.#hidden = new Set();
    this.#gone.clear();
    this.#signedOut = false;
    for (const [id, toast] of this.#deleting) {
      this.#deleting.delete(id);
      toasts.dismiss(toast);
    }
    this.#cursor = null;
    this.#refresh = null;
    this.#refreshAgain = false;
    this.loadingMore = false;
    this.status = 'idle';
    this.error = null;
    if (this.#watch !== null) clearTimeout(this.#watch);
    this.#watch = null;
  }

  async #runRefresh(): Promise<void> {
    const life = this.#life;
    do {
      this.#refreshAgain = false;
      const asked = ++this.#clock;
      if (this.status === 'idle' || this.status === 'failed') this.status = 'loading';
      try {
        const page = await listConversations({ limit: PAGE });
        if (life !== this.#life) return;
        this.#mergeFirstPage(page.conversations, page.next_cursor ?? null, asked);
        this.status = 'ready';
        this.error = null;
        this.#signedOut = false;
      } catch (error) {
        if (life !== this.#life) return;
        this.#signedOut = error instanceof ApiError && error.status === 401;
        this.error = messageOf(error);
        // A list that is there stays; the connection's own notice says that the server is out of reach.
        if (this.status === 'loading') this.status = 'failed';
        return;
      }
    } while (this.#refreshAgain);
  }

  #mergeFirstPage(page: readonly Conversation[], next: string | null, asked: number): void {
    const first = this.status === 'loading';
    for (const conversation of page) this.#merge(whole(conversation), asked);
    const listed = new Set(page.map((conversation) => conversation.id));
    const last = page.at(-1);
    const reaches = next === null || !last ? Number.NEGATIVE_INFINITY : Date.parse(last.updated_at);
    // What should be on this page and isn't was deleted somewhere else, unless it is newer than the page.
    this.#all = this.#all.filter(
      (item) => listed.has(item.id) || item.changed > asked || Date.parse(item.updatedAt) <= reaches,
    );
    if (first || next === null || this.#all.length <= page.length) this.#cursor = next;
    this.#sort();
  }

  #merge(change: ConversationChange, asked: number): void {
    if (this.#gone.has(change.id)) return;
    let item = this.find(change.id);
    if (!item) {
      if (change.title === undefined) return;
      item = new ConversationItem(change.id);
      item.updatedAt = change.updated_at ?? new Date().toISOString();
      this.#all = [...this.#all, item];
    } else if (item.changed > asked) {
      return;
    }
    if (asked === Number.POSITIVE_INFINITY) item.changed = ++this.#clock;
    if (change.title !== undefined && item.renaming === 0) item.title = change.title;
    if (change.updated_at !== undefined) item.updatedAt = change.updated_at;
    if (change.title_pending !== undefined) item.titlePending = change.title_pending;
    if (change.generation_id === undefined) return;
    const finished = item.generationId !== null && change.generation_id === null;
    if (finished && item.id !== this.#openId) item.unread = true;
    if (change.generation_id !== null) item.unread = false;
    item.generationId = change.generation_id;
  }

  #sort(): void {
    this.#all = [...this.#all].sort(newestFirst);
    this.#now = new Date();
    if (this.#midnight !== null) clearTimeout(this.#midnight);
    this.#midnight = setTimeout(() => this.#sort(), untilMidnight(this.#now) + 1000);
  }

  #hide(id: string, hidden: boolean): void {
    const next = new Set(this.#hidden);
    if (hidden) next.add(id);
    else next.delete(id);
    this.#hidden = next;
  }

  #keep(id: string): void {
    const toast = this.#deleting.get(id);
    if (toast === undefined) return;
    // Taken away first, so that the end of the toast does not delete it.
    this.#deleting.delete(id);
    toasts.dismiss(toast);
    this.#hide(id, false);
  }

  async #delete(id: string, keepalive: boolean): Promise<void> {
    if (!this.#deleting.delete(id)) return;
    const life = this.#life;
    try {
      await deleteConversation(id, { keepalive });
    } catch (error) {
      const gone = error instanceof ApiError && error.status === 404;
      if (life !== this.#life) return;
      if (!gone) {
        const title = this.find(id)?.title ?? '';
        this.#hide(id, false);
        toasts.show({ text: t('toast.delete_failed', { title, reason: messageOf(error) }) });
        return;
      }
    }
    if (life !== this.#life) return;
    this.#gone.add(id);
    this.#all = this.#all.filter((item) => item.id !== id);
    this.#hide(id, false);
    keepDraft(id, '');
    publish({ type: 'conversation', id, change: 'deleted' });
    for (const listener of this.#deleted) listener(id);
  }

  /** Asks again while a chat that isn't open is being answered, or one is about to get a title: no stream tells of either. */
  #watchRunning(): void {
    const running = this.#all.some((item) => item.generationId !== null && item.id !== this.#openId);
    const titled = this.#all.some((item) => item.titlePending);
    if (!titled) this.#titlePause = TITLE_PAUSE_MS[0];
    if (this.#signedOut || document.visibilityState !== 'visible' || !(running || titled)) {
      if (this.#watch !== null) clearTimeout(this.#watch);
      this.#watch = null;
      return;
    }
    const never = Number.POSITIVE_INFINITY;
    const pause = Math.min(running ? WATCH_EVERY_MS : never, titled ? this.#titlePause : never);
    this.#watch ??= setTimeout(() => {
      this.#watch = null;
      if (titled) this.#titlePause = Math.min(2 * this.#titlePause, TITLE_PAUSE_MS[1]);
      void this.refresh();
    }, pause);
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    // A page that goes away carries out what it has promised; the request outlives it.
    window.addEventListener('pagehide', () => void this.flush(true));
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible' && this.status !== 'idle') void this.refresh();
      else this.#watchRunning();
    });
    connection.onreturn(() => {
      if (this.status !== 'idle') void this.refresh();
    });
    subscribe((event) => {
      if (event.type !== 'conversation') return;
      if (event.change === 'opened' || event.change === 'asked') this.#keep(event.id);
      if (event.change !== 'opened' && this.status !== 'idle') void this.refresh();
    });
  }
}

export const conversations = new Conversations();

/** Reads one conversation and takes it into the list. Rejects as the API does. */
export async function readConversation(id: string, signal?: AbortSignal): Promise<Conversation> {
  const conversation = await getConversation(id, signal ? { signal } : {});
  conversations.upsert(whole(conversation));
  return conversation;
}

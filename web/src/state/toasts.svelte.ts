export interface ToastOptions {
  text: string;
  action?: { label: string; run: () => void };
  /** How long it stays; 0 = until it is dismissed. */
  seconds?: number;
  /** Called when it goes without its action having been chosen. */
  onclose?: () => void;
}

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly action: { label: string; run: () => void } | null;
}

interface Entry {
  toast: Toast;
  remaining: number;
  since: number;
  timer: ReturnType<typeof setTimeout> | null;
  onclose: (() => void) | undefined;
}

/** Most toasts at a time: the oldest makes room. */
const MOST = 4;

class Toasts {
  #items = $state.raw<readonly Toast[]>([]);
  #entries = new Map<number, Entry>();
  #next = 1;

  /** Oldest first. */
  get items(): readonly Toast[] {
    return this.#items;
  }

  /** Shows a toast and returns its id. */
  show({ text, action, seconds = 6, onclose }: ToastOptions): number {
    const id = this.#next++;
    const run = () => {
      // Taken away first, so that `onclose` is not called for it.
      this.#take(id);
      action?.run();
    };
    const toast: Toast = { id, text, action: action ? { label: action.label, run } : null };
    this.#entries.set(id, { toast, remaining: seconds * 1000, since: 0, timer: null, onclose });
    this.#publish();
    this.resume(id);
    const oldest = this.#items[0];
    if (this.#items.length > MOST && oldest) this.dismiss(oldest.id);
    return id;
  }

  dismiss(id: number): void {
    this.#take(id)?.onclose?.();
  }

  /** Stops a toast's clock while somebody points at it or has the focus in it. */
  pause(id: number): void {
    const entry = this.#entries.get(id);
    if (!entry || entry.timer === null) return;
    clearTimeout(entry.timer);
    entry.timer = null;
    // Somebody who has just read it needs a moment to let go of it.
    entry.remaining = Math.max(1000, entry.remaining - (Date.now() - entry.since));
  }

  resume(id: number): void {
    const entry = this.#entries.get(id);
    if (!entry || entry.timer !== null || entry.remaining === 0) return;
    entry.since = Date.now();
    entry.timer = setTimeout(() => this.dismiss(id), entry.remaining);
  }

  #take(id: number): Entry | undefined {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    if (entry.timer !== null) clearTimeout(entry.timer);
    this.#entries.delete(id);
    this.#publish();
    return entry;
  }

  #publish(): void {
    this.#items = [...this.#entries.values()].map((entry) => entry.toast);
  }
}

export const toasts = new Toasts();

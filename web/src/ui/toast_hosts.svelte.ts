import { untrack } from 'svelte';

/** The places that can show toasts; only the one that came last does, so that none is shown twice or out of reach. */
class ToastHosts {
  #hosts = $state.raw<readonly string[]>([]);

  get top(): string | undefined {
    return this.#hosts.at(-1);
  }

  /** Returns what takes it away again. */
  enter(id: string): () => void {
    untrack(() => {
      this.#hosts = [...this.#hosts, id];
    });
    return () => {
      this.#hosts = untrack(() => this.#hosts.filter((host) => host !== id));
    };
  }
}

export const toastHosts = new ToastHosts();

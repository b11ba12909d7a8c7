import { listModels, type Model } from '$/api/client';
import { messageOf } from '$/api/errors';
import { readStored, writeStored } from '$/lib/storage';

const STORED = 'model';

export interface ModelDescription {
  /** The model's own name, without the provider. */
  name: string;
  provider: string | null;
  description: string | null;
}

class Models {
  items = $state.raw<readonly Model[]>([]);
  status = $state<'idle' | 'loading' | 'ready' | 'failed'>('idle');
  error = $state<string | null>(null);
  #chosen = $state<string | null>(readStored('local', STORED));
  #load: Promise<void> | null = null;

  /** The model to ask: the remembered one while it is to be had, else the server's default; null before the list is there. */
  get selected(): string | null {
    const chosen = this.items.find((model) => model.id === this.#chosen);
    const fallback = this.items.find((model) => model.default) ?? this.items[0];
    return (chosen ?? fallback)?.id ?? null;
  }

  /** Reads the list. Never rejects: `status` and `error` tell. Calls while one runs share it. */
  load(): Promise<void> {
    this.#load ??= this.#read().finally(() => {
      this.#load = null;
    });
    return this.#load;
  }

  select(id: string): void {
    this.#chosen = id;
    writeStored('local', STORED, id);
  }

  describe(id: string): ModelDescription {
    const model = this.items.find((item) => item.id === id);
    const slash = id.indexOf('/');
    return {
      name: slash === -1 ? id : id.slice(slash + 1),
      provider: model?.provider ?? (slash === -1 ? null : id.slice(0, slash)),
      description: model?.description ?? null,
    };
  }

  reset(): void {
    this.items = [];
    this.status = 'idle';
    this.error = null;
  }

  async #read(): Promise<void> {
    if (this.items.length === 0) this.status = 'loading';
    try {
      this.items = (await listModels()).models;
      this.status = 'ready';
      this.error = null;
    } catch (error) {
      this.error = messageOf(error);
      // A list that is there stays useful.
      if (this.items.length === 0) this.status = 'failed';
    }
  }
}

export const models = new Models();

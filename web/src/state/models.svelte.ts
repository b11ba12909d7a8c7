import { listModels, type Model } from '$/api/client';
import { messageOf } from '$/api/errors';
import { shortName } from '$/lib/model_name';
import { readStored, writeStored } from '$/lib/storage';

const STORED = 'model';

/** A model of the list, with what is known of it. */
export interface ListedModel extends Model {
  /** What people call it. */
  name?: string | null;
  /** Tokens of question, history and answer together. */
  context_tokens?: number | null;
  images?: boolean | null;
  tools?: boolean | null;
  reasoning?: boolean | null;
}

class Models {
  /** Each id once. */
  items = $state.raw<readonly ListedModel[]>([]);
  status = $state<'idle' | 'loading' | 'ready' | 'failed'>('idle');
  error = $state<string | null>(null);
  #chosen = $state<string | null>(readStored('local', STORED));
  #load: Promise<void> | null = null;
  readonly #byId = $derived(new Map(this.items.map((model) => [model.id, model])));

  /**
   * The model of a new chat: the one that was chosen last, whether it is listed or not, else the server's default. Null
   * before there is either.
   */
  get selected(): string | null {
    if (this.#chosen !== null) return this.#chosen;
    const fallback = this.items.find((model) => model.default) ?? this.items[0];
    return fallback?.id ?? null;
  }

  /** Whether the list is there and does not have it: its provider may be away, or gone. */
  isMissing(id: string): boolean {
    return this.status === 'ready' && !this.#byId.has(id);
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

  /** What people call a model; else its own name, without the provider. */
  nameOf(id: string): string {
    return this.#byId.get(id)?.name || shortName(id);
  }

  reset(): void {
    this.items = [];
    this.status = 'idle';
    this.error = null;
  }

  async #read(): Promise<void> {
    if (this.items.length === 0) this.status = 'loading';
    try {
      const { models } = await listModels();
      // A list that names one twice would break every place that shows it.
      const byId = new Map<string, ListedModel>();
      for (const model of models) if (model.id && !byId.has(model.id)) byId.set(model.id, model);
      this.items = [...byId.values()];
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

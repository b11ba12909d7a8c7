import { type Connection, connection } from '$/api/connection.svelte';
import { t } from '$/lib/i18n.svelte';
import { toasts } from '$/state/toasts.svelte';

/**
 * Offers to load the page again when a part of it can't be had: the server was updated since. A server that does not
 * answer is no sign of that, so it is asked first; that it is out of reach, the connection's own banner says.
 */
export class UpdateOffer {
  #offered = false;
  readonly #connection: Pick<Connection, 'reachable' | 'suspect'>;

  constructor(asked: Pick<Connection, 'reachable' | 'suspect'> = connection) {
    this.#connection = asked;
  }

  async partMissing(): Promise<void> {
    if (this.#offered) return;
    this.#offered = true;
    await this.#connection.suspect();
    if (!this.#connection.reachable) {
      this.#offered = false;
      return;
    }
    toasts.show({
      text: t('shell.updated'),
      action: { label: t('shell.reload'), run: () => location.reload() },
      seconds: 0,
      onclose: () => {
        this.#offered = false;
      },
    });
  }
}

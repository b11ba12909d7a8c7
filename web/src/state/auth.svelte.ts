import { login, logout, onUnauthenticated, register, signedInUser, type User } from '$/api/client';
import { ApiError, messageOf } from '$/api/errors';
import { t } from '$/lib/i18n.svelte';
import { publish, subscribe } from '$/lib/sync';
import { conversations } from './conversations.svelte';
import { clearDrafts, ownDrafts } from './drafts';
import { models } from './models.svelte';
import { threads } from './threads.svelte';
import { toasts } from './toasts.svelte';

type LoginForm = Parameters<typeof login>[0];
type RegisterForm = Parameters<typeof register>[0];

/** Who is signed in. */
class Auth {
  user = $state.raw<User | null>(null);
  /** `unreachable`: the server didn't say. `check()` asks again. */
  status = $state<'unknown' | 'in' | 'out' | 'unreachable'>('unknown');
  /** The session ran out while the page was used. Everything is kept for the same user. */
  expired = $state(false);
  /** Whose things the page holds. */
  #owner: string | null = null;
  #checking: Promise<void> | null = null;
  #listening = false;

  /** Asks the server. Never rejects. Calls while one runs share it. */
  check(): Promise<void> {
    this.#listen();
    this.#checking ??= this.#ask().finally(() => {
      this.#checking = null;
    });
    return this.#checking;
  }

  /** Signs in. Rejects as the API does, for the form to say why. */
  async login(form: LoginForm): Promise<void> {
    this.#listen();
    const { user } = await login(form);
    this.#enter(user);
    publish({ type: 'login', userId: user.id });
  }

  /** Makes an account and signs in with it. Rejects as the API does. */
  async register(form: RegisterForm): Promise<void> {
    await register(form);
    await this.login({ username: form.username, password: form.password });
  }

  /** Signs out. Where the server can't be told, the user stays signed in and a toast says so. */
  async logout(): Promise<void> {
    // What was promised to be deleted is deleted: later nobody is allowed to.
    await conversations.flush();
    try {
      await logout();
    } catch (error) {
      // Without a session there is nothing that the server would have to be told.
      if (!this.expired && !(error instanceof ApiError && error.status === 401)) {
        toasts.show({ text: t('toast.sign_out_failed', { reason: messageOf(error) }) });
        return;
      }
    }
    this.#leave();
    publish({ type: 'logout' });
  }

  async #ask(): Promise<void> {
    try {
      const user = await signedInUser();
      if (user !== null) this.#enter(user);
      else if (this.status === 'in') this.#expire();
      else this.status = 'out';
    } catch {
      if (this.status !== 'in') this.status = 'unreachable';
    }
  }

  #expire(): void {
    this.status = 'out';
    this.expired = true;
  }

  #enter(user: User): void {
    if (this.#owner !== null && this.#owner !== user.id) this.#forget();
    const again = this.expired && this.#owner === user.id;
    this.#owner = user.id;
    ownDrafts(user.id);
    this.user = user;
    this.status = 'in';
    this.expired = false;
    if (!again) return;
    void conversations.refresh();
    void models.load();
    threads.resume();
  }

  #leave(): void {
    this.#forget();
    this.#owner = null;
    this.user = null;
    this.status = 'out';
    this.expired = false;
  }

  #forget(): void {
    threads.reset();
    conversations.reset();
    models.reset();
    clearDrafts();
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    onUnauthenticated(() => {
      if (this.status === 'in') this.#expire();
    });
    subscribe((event) => {
      if (event.type === 'logout') {
        if (this.status !== 'out' || this.expired) this.#leave();
      } else if (event.type === 'login' && (this.status !== 'in' || event.userId !== this.#owner)) {
        void this.check();
      }
    });
    window.addEventListener('online', () => {
      if (this.status === 'unreachable') void this.check();
    });
  }
}

export const auth = new Auth();

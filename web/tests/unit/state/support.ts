import { beforeEach, vi } from 'vitest';
import { ApiError } from '$/api/errors';
import { navigate } from '$/lib/router.svelte';
import { conversations } from '$/state/conversations.svelte';
import type { Thread } from '$/state/thread.svelte';
import { threads } from '$/state/threads.svelte';
import { toasts } from '$/state/toasts.svelte';
import { at, FakeChannel, server } from './fake';

/** Starts every test with an empty server, an empty page at `/`, and a clock that stands still at 12:30. */
export function freshPage(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse(at(30)) });
    vi.stubGlobal('BroadcastChannel', FakeChannel);
    server.reset();
    sessionStorage.clear();
    localStorage.clear();
    navigate('/');
    return () => {
      threads.reset();
      conversations.reset();
      for (const toast of toasts.items) toasts.dismiss(toast.id);
      vi.useRealTimers();
    };
  });
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

export function problem(status: number, code: string, rest: object = {}): ApiError {
  return new ApiError(status, { code, detail: `detail of ${code}`, ...rest });
}

export const toastTexts = () => toasts.items.map((toast) => toast.text);
export const texts = (thread: Thread) => thread.path.map((message) => message.text);
export const ids = (thread: Thread) => thread.path.map((message) => message.id);
export const keys = (thread: Thread) => thread.path.map((message) => message.key);

/** Opens a chat and lets it load. */
export async function opened(id: string | null): Promise<Thread> {
  const thread = threads.open(id);
  await settle();
  return thread;
}

/** Has the tab be hidden or seen. */
export function see(visible: boolean): void {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(visible ? 'visible' : 'hidden');
  document.dispatchEvent(new Event('visibilitychange'));
}

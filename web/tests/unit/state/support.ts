import { beforeEach, vi } from 'vitest';
import { navigate } from '$/lib/router.svelte';
import { conversations } from '$/state/conversations.svelte';
import type { Thread } from '$/state/thread.svelte';
import { threads } from '$/state/threads.svelte';
import { toasts } from '$/state/toasts.svelte';
import { at, FakeChannel, problem, server } from './fake';

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

export { problem };

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

/** A chat with one question and its answer. */
export function chat(id = 'c1'): void {
  server.conversation(id);
  server.message(id, `q1${id}`);
  server.message(id, `a1${id}`);
}

/** A chat whose second answer is being written. */
export function runningChat(content = 'So far'): void {
  chat();
  server.message('c1', 'q2');
  server.message('c1', 'a2', { status: 'running', content, generation_id: 'g2', last_event_id: 'g2:1.3' });
  server.row('c1').generation_id = 'g2';
}

/** What the server holds once it has accepted a question. */
export function accepted(
  id: string,
  question: string,
  answer: string,
  generation: string,
  text: string,
): void {
  server.message(id, question, { content: text });
  server.message(id, answer, { status: 'running', content: '', generation_id: generation });
  Object.assign(server.row(id), { generation_id: generation, updated_at: at(29) });
}

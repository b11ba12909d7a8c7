import type { MessageView } from '$/state/message.svelte';
import type { Thread } from '$/state/thread.svelte';

let reached = $state(false);

/** Whether a server that stands for the real one is there. Reactive. */
export const there = () => reached;
export function reach(is: boolean): void {
  reached = is;
}

/** What the composer uses of a thread; `as` gives it the type of one. */
export class FakeThread {
  conversationId = $state<string | null>(null);
  status = $state<'new' | 'ready' | 'missing'>('new');
  running = $state<MessageView | null>(null);
  refusal = $state.raw<{ text: string; message: string; unanswered?: boolean } | null>(null);
  stopping = $state(false);
  model = $state<string | null>(null);
  readonly sent: string[] = [];
  stops = 0;

  send(text: string): Promise<void> {
    this.sent.push(text);
    return Promise.resolve();
  }

  pick(model: string): void {
    this.model = model;
  }

  stop(): Promise<void> {
    this.stops += 1;
    this.stopping = true;
    return Promise.resolve();
  }

  get as(): Thread {
    return this as unknown as Thread;
  }
}

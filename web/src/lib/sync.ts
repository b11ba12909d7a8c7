// Tabs of one browser tell each other that something changed. A hint, never the change itself: who hears it asks the server.

/** `opened`: somebody looks at it, so it is wanted. */
type ConversationEvent = 'opened' | 'asked' | 'ended' | 'renamed' | 'chosen' | 'deleted';

export type SyncEvent =
  | { type: 'login'; userId: string }
  | { type: 'logout' }
  | { type: 'conversation'; id: string; change: ConversationEvent };

type Listener = (event: SyncEvent) => void;

const listeners = new Set<Listener>();
let channel: BroadcastChannel | null = null;

function isSyncEvent(data: unknown): data is SyncEvent {
  if (typeof data !== 'object' || data === null) return false;
  const event = data as Record<string, unknown>;
  if (event.type === 'logout') return true;
  if (event.type === 'login') return typeof event.userId === 'string';
  return event.type === 'conversation' && typeof event.id === 'string' && typeof event.change === 'string';
}

function open(): BroadcastChannel | null {
  if (channel === null && typeof BroadcastChannel !== 'undefined') {
    channel = new BroadcastChannel('gpt-r1');
    channel.addEventListener('message', (message: MessageEvent<unknown>) => {
      // A tab of another version may say things that this one does not know.
      if (!isSyncEvent(message.data)) return;
      for (const listener of [...listeners]) listener(message.data);
    });
  }
  return channel;
}

/** Tells the other tabs. This tab's own listeners do not hear it. */
export function publish(event: SyncEvent): void {
  open()?.postMessage(event);
}

/** Hears the other tabs, until the function that it returns is called. */
export function subscribe(listener: Listener): () => void {
  open();
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

import type { MessageView } from '$/state/message.svelte';

/** The part of a message that decides how it is shown. */
export type Shown = Pick<
  MessageView,
  'role' | 'status' | 'phase' | 'length' | 'parts' | 'finishReason' | 'error' | 'stored'
>;

/** How an answer ended, where that needs a word of its own. */
export type Mark = 'stopped' | 'interrupted' | 'failed' | 'length' | 'empty' | null;

/** What the stream is waiting for, where the reader should know. */
export type Wait = 'unsent' | 'quiet' | 'held' | 'reconnecting' | 'offline' | null;

export interface MessageState {
  /** It is being written: no actions yet. */
  busy: boolean;
  /** There is no word yet, not even a thought: a sign of life stands in. */
  thinking: boolean;
  /** Words are coming: a caret follows the last one. */
  caret: boolean;
  wait: Wait;
  mark: Mark;
}

/** What to show of an answer besides its text. */
export function stateOf(message: Shown): MessageState {
  const busy = message.role === 'assistant' && (message.status === 'queued' || message.status === 'running');
  const wait = busy ? waitOf(message) : null;
  const still = wait === 'unsent' || wait === 'reconnecting' || wait === 'offline';
  return {
    busy,
    thinking: busy && message.parts.length === 1 && message.length === 0 && !still,
    caret: busy && message.length > 0 && !still,
    wait,
    mark: busy || message.role !== 'assistant' ? null : markOf(message),
  };
}

function waitOf({ phase, stored }: Shown): Wait {
  switch (phase) {
    case 'quiet':
    case 'held':
      return phase;
    case 'reconnecting':
    case 'offline':
      // Nothing goes on elsewhere before the server has the question.
      return stored ? phase : 'unsent';
    default:
      return null;
  }
}

function markOf(message: Shown): Mark {
  switch (message.status) {
    case 'stopped':
    case 'interrupted':
    case 'failed':
      return message.status;
    case 'completed':
      if (message.finishReason === 'length') return 'length';
      return message.length === 0 ? 'empty' : null;
    default:
      return null;
  }
}

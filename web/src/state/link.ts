import type { MessagePage } from '$/api/client';
import type { ApiError, NetworkError } from '$/api/errors';
import type { AnswerStream } from '$/stream/answer_stream';
import type { MessageView } from './message.svelte';
import type { Thread } from './thread.svelte';

/** A question that was not accepted: its text goes back to the composer. */
export interface Refusal {
  text: string;
  message: string;
  /** It was given back because no answer came, and not because the server said no. */
  unanswered?: boolean;
}

export type Fault = ApiError | NetworkError;
/** Undoes what was shown of a request that the server refuses. */
export type Undo = (fault: Fault) => void;

/** A stream and the message that it writes. */
export interface Link {
  stream: AnswerStream;
  message: MessageView;
  /** The server has it: from then on it may be left alone. An attach is accepted by nature. */
  accepted: boolean;
  undo: Undo;
  /** Accepted, refused or taken back. */
  decided(): void;
}

export interface ThreadHost {
  /** A new chat has got its conversation. */
  named(thread: Thread): void;
}

/** A question as the server takes it. */
export function questionOf(
  message: string,
  conversation: string | null,
  parent: string | null,
  model: string | null,
) {
  return {
    message,
    ...(conversation !== null ? { conversation_id: conversation } : {}),
    // Without it the server follows its newest message, which another device may have written.
    ...(parent !== null ? { parent_id: parent } : {}),
    ...(model !== null ? { model } : {}),
  };
}

/** Reads another branch, to be shown. It is rare: what it takes comes then. */
export async function chooseAfar(
  conversation: string,
  id: string,
  signal: AbortSignal,
  read: (page: MessagePage) => void,
): Promise<void> {
  const afar = await import('./choose_afar').catch(() => null);
  await afar?.chooseAfar(conversation, id, signal, read);
}

/** Says where the turns after an answer are that has got another one beside it. It is rare: its words come then. */
export async function tellOfKeptTurns(thread: Thread, earlier: MessageView): Promise<void> {
  const kept = await import('./kept_turns').catch(() => null);
  kept?.tellOfKeptTurns(thread, earlier);
}

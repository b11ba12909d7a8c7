import type { End, Failure, PartKind, Start } from './types';

/** One event's content, as far as it matters here. */
export type Payload =
  | { type: 'start'; start: Start }
  | { type: 'words'; kind: PartKind; text: string }
  | { type: 'end'; end: End }
  /** The reasoning since the last text is void. */
  | { type: 'discard' }
  /** Any other `resumed`, and whatever a newer server may say: it moves the cursor and nothing else. */
  | { type: 'other' };

type Fields = Readonly<Record<string, unknown>>;

const OTHER: Payload = { type: 'other' };

const seconds = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** Reads an event's `data`; null if it is malformed. */
export function parsePayload(data: string): Payload | null {
  let fields: Fields;
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value !== 'object' || value === null) return null;
    fields = value as Fields;
  } catch {
    return null;
  }
  switch (fields.type) {
    case 'chunk':
      return words('text', fields);
    case 'reasoning':
      return words('reasoning', fields);
    case 'start':
      return start(fields);
    case 'end':
      return {
        type: 'end',
        end: {
          status: fields.status === 'stopped' ? 'stopped' : 'completed',
          finishReason: text(fields.finish_reason),
          error: null,
        },
      };
    case 'error':
      return failure(fields);
    case 'resumed':
      return fields.discard === 'reasoning' ? { type: 'discard' } : OTHER;
    default:
      return typeof fields.type === 'string' ? OTHER : null;
  }
}

function words(kind: PartKind, { content }: Fields): Payload | null {
  return typeof content === 'string' ? { type: 'words', kind, text: content } : null;
}

function start(fields: Fields): Payload | null {
  const generationId = text(fields.generation_id);
  const conversationId = text(fields.conversation_id);
  const messageId = text(fields.message_id);
  if (generationId === null || conversationId === null || messageId === null) return null;
  return { type: 'start', start: { generationId, conversationId, messageId, model: text(fields.model) } };
}

function failure(fields: Fields): Payload | null {
  const code = text(fields.code);
  if (code === null) return null;
  return {
    type: 'end',
    end: {
      status: code === 'interrupted' ? 'interrupted' : 'failed',
      finishReason: null,
      error: errorOf(code, fields),
    },
  };
}

/** What an `error` event, and a message that failed, say of it. */
export function errorOf(code: string, fields: Fields): Failure {
  const retryAfter = seconds(fields.retry_after);
  const requestId = text(fields.request_id);
  const detail = text(fields.detail);
  return {
    code,
    message: text(fields.message) ?? '',
    retryable: fields.retryable === true,
    ...(retryAfter !== null ? { retryAfter } : {}),
    ...(requestId !== null ? { requestId } : {}),
    ...(detail !== null ? { detail } : {}),
  };
}

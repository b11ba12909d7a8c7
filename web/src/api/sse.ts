import { createParser } from 'eventsource-parser';

/** The longest event that is kept while it arrives, in characters. The server's are far below. */
const LONGEST_EVENT = 4 * 1024 * 1024;

/** The body is no event stream that this reader could go on with: not UTF-8, or an event without an end. */
export class UnreadableStream extends Error {
  override readonly name = 'UnreadableStream';
}

/** One event as it stands in the body. */
export interface RawEvent {
  /** Its own `id:`, not the last one before it. */
  id?: string | undefined;
  data: string;
}

export interface EventListener {
  onEvent(event: RawEvent): void;
  /** A comment: the server is alive and has nothing to say. */
  onBeat(): void;
  /** The server says how long to wait before coming back, in milliseconds. */
  onRetry?(milliseconds: number): void;
  /** All that one read brought has been handed over. */
  onRead?(): void;
}

/**
 * Reads a Server-Sent Events body to its end.
 *
 * An event reaches the listener once its blank line is here: what a cut connection leaves half
 * said is dropped. Rejects with what the read rejected with (a lost connection, an abort), or with
 * {@link UnreadableStream}; the body is then cancelled.
 */
export async function readEvents(body: ReadableStream<Uint8Array>, listener: EventListener): Promise<void> {
  // Fatal: a replacement character in the place of a broken byte would be a silent change of text.
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let oversized = false;
  const parser = createParser({
    onEvent: (event) => listener.onEvent(event),
    onComment: () => listener.onBeat(),
    onRetry: (milliseconds) => listener.onRetry?.(milliseconds),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') oversized = true;
    },
    maxBufferSize: LONGEST_EVENT,
  });
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(decode(decoder, value));
      if (oversized) throw new UnreadableStream('an event is too long');
      listener.onRead?.();
    }
  } catch (error) {
    // Its own failure has nothing to add to the one that is thrown.
    reader.cancel(error).catch(() => undefined);
    throw error;
  } finally {
    reader.releaseLock();
  }
}

function decode(decoder: TextDecoder, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: true });
  } catch (cause) {
    throw new UnreadableStream('the stream is not UTF-8', { cause });
  }
}

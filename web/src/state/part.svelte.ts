import type { Message } from '$/api/client';
import type { PartKind } from '$/stream/answer_stream';

export interface TextListener {
  /** Replaces whatever was shown. */
  reset(text: string): void;
  append(text: string): void;
  /** No more text is going to come. */
  finish(): void;
}

/** What a part holds, as the server tells it. */
export interface Content {
  kind: PartKind;
  text: string;
  /** How long it took (ms), where that is known. */
  duration?: number | undefined;
}

/** A part of the API's, of whatever type. */
interface Told {
  type: string;
  content?: string;
  duration_ms?: number;
}

/** What a message holds that is nothing but text. */
export function plain(text: string): readonly Content[] {
  return [{ kind: 'text', text }];
}

/**
 * What a message of the API holds: kinds take turns, and the last one is a text, if an empty one. Types that this page
 * doesn't know are passed over.
 */
export function contentsOf(message: Message): readonly Content[] {
  const { parts } = message as { parts?: readonly Told[] | null };
  const contents: Content[] = [];
  for (const { type: kind, content: text, duration_ms: duration } of parts ?? []) {
    if ((kind !== 'text' && kind !== 'reasoning') || !text) continue;
    const last = contents.at(-1);
    if (last?.kind === kind) last.text += text;
    else contents.push({ kind, text, duration });
  }
  if (contents.at(-1)?.kind !== 'text') contents.push(...plain(''));
  const said = contents.filter(({ kind }) => kind === 'text').map(({ text }) => text);
  // Whatever the parts say, the text is this one.
  return said.join('') === message.content ? contents : plain(message.content);
}

/**
 * One part of a message. Its text is plain data: the stream appends to it hundreds of times a second, and listeners are
 * told.
 */
export class PartView {
  readonly kind: PartKind;
  #text = '';
  /** While a log is read again from its start: how much of the shown text it has confirmed. Null otherwise. */
  #confirmed: number | null = null;
  #finished = false;
  #listeners = new Set<TextListener>();

  constructor(kind: PartKind) {
    this.kind = kind;
  }

  /** The whole text. Not reactive: `follow` tells of changes. */
  get text(): string {
    return this.#text;
  }

  /** Whether a log that is read again has yet to say the first word of it. */
  get unread(): boolean {
    return this.#confirmed === 0 || this.#text === '';
  }

  /** Calls `reset` with the text so far at once, then tells of every change, until the returned function is called. */
  follow(listener: TextListener): () => void {
    this.#listeners.add(listener);
    listener.reset(this.#text);
    if (this.#finished) listener.finish();
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** The text is this one now. What is shown of it stays untouched where it only grows. */
  replace(text: string): void {
    this.#confirmed = null;
    if (text === this.#text) return;
    if (text.startsWith(this.#text)) {
      this.#push(text.slice(this.#text.length));
      return;
    }
    this.#text = text;
    for (const listener of this.#listeners) listener.reset(text);
  }

  /** Its log begins again. The text stays in sight until the log has said something else, or more. */
  restart(): void {
    this.#confirmed = this.#text.length === 0 ? null : 0;
  }

  /** The log goes on with this text. Gives back whether that was news. */
  append(text: string): boolean {
    if (this.#confirmed === null) {
      this.#push(text);
      return true;
    }
    const at = this.#confirmed;
    const open = this.#text.length - at;
    if (text.length < open && this.#text.startsWith(text, at)) {
      this.#confirmed = at + text.length;
      return false;
    }
    if (text.length >= open && text.startsWith(this.#text.slice(at))) {
      this.#confirmed = null;
      if (text.length === open) return false;
      this.#push(text.slice(open));
    } else {
      this.replace(this.#text.slice(0, at) + text);
    }
    return true;
  }

  /** The log has come to the end of this part: what it has not confirmed goes. */
  cut(): void {
    if (this.#confirmed !== null) this.replace(this.#text.slice(0, this.#confirmed));
  }

  /** No more text is going to come for now: listeners draw their final state. */
  finish(): void {
    this.#finished = true;
    for (const listener of this.#listeners) listener.finish();
  }

  #push(text: string): void {
    this.#text += text;
    this.#finished = false;
    for (const listener of this.#listeners) listener.append(text);
  }
}

/** A longer silence (ms) says nothing of the model: the device slept, or the network was gone. */
const SILENCE = 60_000;

/** What a model thinks before it says something. */
export class ReasoningView extends PartView {
  /** More of it is coming. */
  live = $state(false);
  /** How long it took (ms), where that is known. */
  duration = $state<number | null>(null);
  /** When it began by this device's clock, while it is live and where that is known. */
  began: number | null = null;
  #heardAt: number | null = null;

  constructor() {
    super('reasoning');
  }

  /** The server tells whether more of it is coming. When it ended, this page has not heard. */
  told(live: boolean): void {
    if (!live) this.began = null;
    this.live = live;
  }

  /** More of it has come. `timed`: as it was thought, and not read again later. */
  heard(timed: boolean): void {
    const now = Date.now();
    if (!this.live) {
      this.live = true;
      this.duration = null;
      this.began = timed && this.#heardAt === null ? now : null;
    }
    this.#listen(now);
  }

  override finish(): void {
    super.finish();
    if (!this.live) return;
    const now = Date.now();
    this.#listen(now);
    if (this.began !== null) this.duration ??= now - this.began;
    this.began = null;
    this.live = false;
  }

  #listen(now: number): void {
    if (this.#heardAt !== null && now - this.#heardAt > SILENCE) this.began = null;
    this.#heardAt = now;
  }
}

import { beforeEach, describe, expect, test, vi } from 'vitest';
import { MessageView } from '$/state/message.svelte';
import { plain, type TextListener } from '$/state/part.svelte';

class Listener implements TextListener {
  said: string[] = [];
  text = '';

  reset(text: string): void {
    this.said.push(`reset:${text}`);
    this.text = text;
  }

  append(text: string): void {
    this.said.push(`append:${text}`);
    this.text += text;
  }

  finish(): void {
    this.said.push('finish');
  }
}

function running(text = ''): { view: MessageView; listener: Listener } {
  const view = new MessageView('assistant', 'a1', 'q1');
  view.status = 'running';
  view.replace(plain(text));
  const listener = new Listener();
  view.parts[0]?.follow(listener);
  listener.said = [];
  return { view, listener };
}

const ended = { status: 'completed' as const, finishReason: 'stop', error: null };

describe('a message', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    return () => vi.useRealTimers();
  });

  test('tells a listener the text so far, then every piece, then the end', () => {
    const view = new MessageView('assistant', 'a1', null);
    view.status = 'running';
    view.append('text', 'One ');
    const listener = new Listener();
    const leave = view.parts[0]?.follow(listener);
    view.append('text', 'two');
    view.end(ended);
    leave?.();
    view.append('text', 'unheard');
    expect(listener.said).toEqual(['reset:One ', 'append:two', 'finish']);
  });

  test('a finished one is finished for whoever comes late', () => {
    const view = new MessageView('user', 'q1', null);
    view.replace(plain('Question'));
    const listener = new Listener();
    view.parts[0]?.follow(listener);
    expect(listener.said).toEqual(['reset:Question', 'finish']);
  });

  test('counts its length once a frame, and at once at the end', () => {
    const { view } = running();
    view.append('text', 'abc');
    view.append('text', 'def');
    expect(view.length).toBe(0);
    vi.advanceTimersByTime(20);
    expect(view.length).toBe(6);
    view.append('text', 'g');
    view.end(ended);
    expect(view.length).toBe(7);
  });

  test('a replacement that only grows is appended, any other one resets', () => {
    const { view, listener } = running('Hello');
    view.replace(plain('Hello'));
    view.replace(plain('Hello world'));
    view.replace(plain('Bye'));
    expect(listener.said).toEqual(['append: world', 'reset:Bye']);
  });

  test('a log that begins again takes nothing away that it then confirms', () => {
    const { view, listener } = running('Hello world');
    view.restart();
    for (const piece of ['Hel', 'lo wor', 'ld, and', ' more']) view.append('text', piece);
    expect(listener.said).toEqual(['append:, and', 'append: more']);
    expect(view.text).toBe('Hello world, and more');
  });

  test('a log that says the same to the letter and goes on later is appended to', () => {
    const { view, listener } = running('Hello');
    view.restart();
    view.append('text', 'Hello');
    view.append('text', '!');
    expect(listener.said).toEqual(['append:!']);
  });

  test('a log that says something else wins, from where it differs', () => {
    const { view, listener } = running('Hello world');
    view.restart();
    view.append('text', 'Hello ');
    view.append('text', 'moon');
    expect(listener.said).toEqual(['reset:Hello moon']);
    expect(view.text).toBe('Hello moon');
  });

  test('a log that ends before it has said all that is shown has the last word', () => {
    const { view, listener } = running('Hello world');
    view.restart();
    view.append('text', 'Hello');
    view.end({ ...ended, status: 'interrupted' });
    expect(listener.said).toEqual(['reset:Hello', 'finish']);
    expect(view.length).toBe(5);
  });

  test('every cut of every continuation gives the log’s text', () => {
    const log = 'abcabcabd';
    for (const shown of ['', 'a', 'abc', 'abcabcabd', 'abcabcabdabc', 'abx', 'x']) {
      for (let first = 1; first < log.length; first++) {
        for (let second = first + 1; second <= log.length; second++) {
          const { view, listener } = running(shown);
          view.restart();
          const pieces = [log.slice(0, first), log.slice(first, second), log.slice(second)];
          for (const piece of pieces) if (piece !== '') view.append('text', piece);
          view.end(ended);
          expect([shown, first, second, view.text, listener.text]).toEqual([shown, first, second, log, log]);
        }
      }
    }
  });

  test('an error is told in words', () => {
    const { view } = running('Hel');
    const error = { code: 'no_such_code', message: 'The model went away.', retryable: true };
    view.end({ status: 'failed', finishReason: null, error });
    expect(view.error).toEqual(error);
    expect(view.phase).toBeNull();
  });

  test('an error is the same after a reload', () => {
    const row = {
      id: 'a1',
      role: 'assistant',
      content: '',
      status: 'failed',
      created_at: '2026-03-12T12:00:00Z',
      error_code: 'no_such_code',
    };
    const error = { code: 'no_such_code', message: 'It went away.', retryable: false };
    const stored = { ...error, request_id: 'r-1', detail: 'CUDA' };
    expect(MessageView.of({ ...row, error: stored }).error).toEqual({
      ...error,
      requestId: 'r-1',
      detail: 'CUDA',
    });
    // As servers of before tell it.
    expect(MessageView.of(row).error?.code).toBe('no_such_code');
    expect(MessageView.of({ ...row, error_code: null }).error).toBeNull();
  });
});

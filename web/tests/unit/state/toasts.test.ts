import { beforeEach, describe, expect, test, vi } from 'vitest';
import { toasts } from '$/state/toasts.svelte';

const texts = () => toasts.items.map((toast) => toast.text);

beforeEach(() => {
  vi.useFakeTimers();
  return () => {
    for (const toast of toasts.items) toasts.dismiss(toast.id);
    vi.useRealTimers();
  };
});

describe('toasts', () => {
  test('go after their time; those without a time stay', () => {
    toasts.show({ text: 'short', seconds: 2 });
    toasts.show({ text: 'usual' });
    toasts.show({ text: 'stays', seconds: 0 });
    vi.advanceTimersByTime(2000);
    expect(texts()).toEqual(['usual', 'stays']);
    vi.advanceTimersByTime(60_000);
    expect(texts()).toEqual(['stays']);
  });

  test('a pointer on one stops its clock', () => {
    const id = toasts.show({ text: 'a', seconds: 5 });
    vi.advanceTimersByTime(3000);
    toasts.pause(id);
    vi.advanceTimersByTime(60_000);
    expect(texts()).toEqual(['a']);
    toasts.resume(id);
    vi.advanceTimersByTime(1999);
    expect(texts()).toEqual(['a']);
    vi.advanceTimersByTime(1);
    expect(texts()).toEqual([]);
  });

  test('an action takes the place of closing', () => {
    const said: string[] = [];
    const options = {
      text: 'a',
      action: { label: 'Undo', run: () => said.push('run') },
      onclose: () => said.push('close'),
    };
    toasts.show(options);
    toasts.items[0]?.action?.run();
    expect(said).toEqual(['run']);
    toasts.show(options);
    vi.advanceTimersByTime(6000);
    expect(said).toEqual(['run', 'close']);
    expect(texts()).toEqual([]);
  });

  test('the fifth makes the oldest go', () => {
    const closed: string[] = [];
    for (const text of ['1', '2', '3', '4', '5']) toasts.show({ text, onclose: () => closed.push(text) });
    expect(texts()).toEqual(['2', '3', '4', '5']);
    expect(closed).toEqual(['1']);
  });
});

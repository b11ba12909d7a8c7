import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import Unreachable from '$/features/shell/Unreachable.svelte';
import { Countdown } from '$/lib/countdown.svelte';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Countdown', () => {
  it('counts whole seconds down and says when it is over', () => {
    const over = vi.fn();
    const countdown = new Countdown(over);
    countdown.start(2);
    expect(countdown.seconds).toBe(2);
    vi.advanceTimersByTime(1000);
    expect(countdown.seconds).toBe(1);
    vi.advanceTimersByTime(1000);
    expect(countdown.seconds).toBe(0);
    expect(over).toHaveBeenCalledTimes(1);
  });

  it('follows the clock, not its ticks', () => {
    const countdown = new Countdown();
    countdown.start(60);
    vi.setSystemTime(Date.now() + 50_000);
    vi.advanceTimersByTime(250);
    expect(countdown.seconds).toBe(10);
    countdown.stop();
  });

  it('says nothing when it is stopped', () => {
    const over = vi.fn();
    const countdown = new Countdown(over);
    countdown.start(1);
    countdown.stop();
    vi.advanceTimersByTime(5000);
    expect(over).not.toHaveBeenCalled();
    expect(countdown.seconds).toBe(0);
  });
});

describe('the page that stands in for an unreachable server', () => {
  it('asks no more once it is gone', async () => {
    let answer: () => void = () => undefined;
    const retry = vi.fn(
      () =>
        new Promise<void>((resolve) => {
          answer = resolve;
        }),
    );
    const page = mount(Unreachable, { target: document.body, props: { retry } });
    flushSync();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(retry).toHaveBeenCalledTimes(1);
    await unmount(page);
    answer();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([retry.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0]);
  });

  it('asks every few seconds, and at once when it is looked at', async () => {
    const retry = vi.fn(async () => undefined);
    const page = mount(Unreachable, { target: document.body, props: { retry } });
    flushSync();
    await vi.advanceTimersByTimeAsync(60_000);
    const asked = retry.mock.calls.length;
    await vi.advanceTimersByTimeAsync(4_000);
    expect(retry.mock.calls.length, 'within four seconds, however long it has taken').toBe(asked + 1);
    document.dispatchEvent(new Event('visibilitychange'));
    expect(retry.mock.calls.length).toBe(asked + 2);
    await unmount(page);
  });
});

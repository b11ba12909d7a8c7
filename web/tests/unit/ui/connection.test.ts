import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Connection } from '$/features/shell/connection.svelte';
import Unreachable from '$/features/shell/Unreachable.svelte';
import { Countdown } from '$/lib/countdown.svelte';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Connection', () => {
  it('asks nothing while nobody suspects anything', async () => {
    const probe = vi.fn(async () => true);
    const end = new Connection(probe).watch();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(probe).not.toHaveBeenCalled();
    end();
  });

  it('goes on asking when it is watched again', async () => {
    let up = false;
    const connection = new Connection(async () => up);
    const end = connection.watch();
    await connection.suspect();
    end();
    up = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(connection.reachable, 'nobody watches').toBe(false);
    const endAgain = connection.watch();
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.reachable).toBe(true);
    endAgain();
  });

  it('asks ever more rarely until the server answers, then no more', async () => {
    let up = false;
    const at: number[] = [];
    const start = Date.now();
    const connection = new Connection(async () => {
      at.push((Date.now() - start) / 1000);
      return up;
    });
    await connection.suspect();
    expect(connection.reachable).toBe(false);
    await vi.advanceTimersByTimeAsync(46_000);
    expect(at).toEqual([0, 1, 3, 7, 15, 30, 45]);
    up = true;
    await vi.advanceTimersByTimeAsync(15_000);
    expect(connection.reachable).toBe(true);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(at).toHaveLength(8);
  });

  it('asks once at a time, and at once when the network comes back', async () => {
    let answer: (up: boolean) => void = () => undefined;
    const probe = vi.fn(
      () =>
        new Promise<boolean>((resolve) => {
          answer = resolve;
        }),
    );
    const connection = new Connection(probe);
    const end = connection.watch();
    void connection.suspect();
    void connection.suspect();
    expect(probe).toHaveBeenCalledTimes(1);
    answer(false);
    await vi.advanceTimersByTimeAsync(0);
    window.dispatchEvent(new Event('online'));
    expect(probe).toHaveBeenCalledTimes(2);
    answer(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.reachable).toBe(true);
    end();
  });
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
    await vi.advanceTimersByTimeAsync(2_000);
    expect(retry).toHaveBeenCalledTimes(1);
    await unmount(page);
    answer();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([retry.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0]);
  });
});

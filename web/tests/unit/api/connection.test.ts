import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Connection } from '$/api/connection.svelte';
import { watchInEffect } from './watch_in_effect.svelte';

let up = true;
let at: number[] = [];
let start = 0;
/** Ends what a test has watched. */
let end: () => void = () => undefined;

/** A connection to a server that answers while `up`, and writes down when it was asked (in seconds). */
function connect(): Connection {
  return new Connection(async () => {
    at.push((Date.now() - start) / 1000);
    return up;
  });
}

function online(is: boolean) {
  vi.spyOn(navigator, 'onLine', 'get').mockReturnValue(is);
  window.dispatchEvent(new Event(is ? 'online' : 'offline'));
}

function see(visible: boolean) {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(visible ? 'visible' : 'hidden');
  document.dispatchEvent(new Event('visibilitychange'));
}

beforeEach(() => {
  vi.useFakeTimers();
  start = Date.now();
  up = true;
  at = [];
});
afterEach(() => {
  end();
  vi.useRealTimers();
});

describe('while the server answers', () => {
  it('nothing is asked for as long as others hear of it', async () => {
    const connection = connect();
    end = connection.watch();
    for (let second = 0; second < 600; second += 5) {
      await vi.advanceTimersByTimeAsync(5000);
      connection.heard();
    }
    expect(at).toEqual([]);
  });

  it('silence is broken every ten seconds, by a page that is looked at', async () => {
    const connection = connect();
    end = connection.watch();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(at).toEqual([10, 20, 30]);
    see(false);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(at).toHaveLength(3);
    see(true);
    expect(at, 'at once when it is looked at again').toHaveLength(4);
  });

  it('a page that nobody watches asks nothing', async () => {
    const connection = connect();
    connection.watch()();
    connection.missed();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(at).toEqual([]);
  });
});

describe('a server that went away', () => {
  it('is asked again every few seconds, for as long as it takes, and no more often once it is back', async () => {
    const connection = connect();
    end = connection.watch();
    up = false;
    connection.missed();
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.reachable).toBe(false);
    await vi.advanceTimersByTimeAsync(16_000);
    expect(at).toEqual([0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5]);
    await vi.advanceTimersByTimeAsync(3_600_000);
    up = true;
    await vi.advanceTimersByTimeAsync(4000);
    expect(connection.reachable).toBe(true);
    const asked = at.length;
    await vi.advanceTimersByTimeAsync(9000);
    expect(at).toHaveLength(asked);
  });

  it('is noticed while nothing is done', async () => {
    const connection = connect();
    end = connection.watch();
    up = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(connection.reachable).toBe(false);
  });

  it('is asked again inside of an effect too, which reads what it changes', async () => {
    const connection = connect();
    end = watchInEffect(connection);
    flushSync();
    up = false;
    connection.missed();
    await vi.advanceTimersByTimeAsync(0);
    flushSync();
    expect(connection.reachable).toBe(false);
    up = true;
    await vi.advanceTimersByTimeAsync(4000);
    flushSync();
    expect(connection.reachable).toBe(true);
  });

  it('is back with the first word that anybody has from it', async () => {
    const connection = connect();
    const returned = vi.fn();
    const unhear = connection.onreturn(returned);
    end = connection.watch();
    up = false;
    await connection.suspect();
    expect(connection.reachable).toBe(false);
    connection.heard();
    expect([connection.reachable, returned.mock.calls.length]).toEqual([true, 1]);
    connection.heard();
    expect(returned).toHaveBeenCalledTimes(1);
    unhear();
    await connection.suspect();
    connection.heard();
    expect(returned).toHaveBeenCalledTimes(1);
  });

  it('a question without an answer says nothing of a server that was heard meanwhile', async () => {
    let answer: (answered: boolean) => void = () => undefined;
    const connection = new Connection(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    end = connection.watch();
    const asked = connection.suspect();
    connection.heard();
    answer(false);
    await asked;
    expect(connection.reachable).toBe(true);
  });

  it('is asked at once when the tab is looked at, and when the page comes back from the cache', async () => {
    const connection = connect();
    end = connection.watch();
    up = false;
    await connection.suspect();
    await vi.advanceTimersByTimeAsync(10_000);
    see(false);
    up = true;
    see(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.reachable).toBe(true);
    up = false;
    await connection.suspect();
    up = true;
    window.dispatchEvent(new Event('pageshow'));
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.reachable).toBe(true);
  });

  it('is asked on by whoever watches next', async () => {
    const connection = connect();
    const first = connection.watch();
    up = false;
    await connection.suspect();
    first();
    up = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(connection.reachable, 'nobody watches').toBe(false);
    end = connection.watch();
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.reachable).toBe(true);
  });
});

describe('a device that lost its network', () => {
  it('says so, and that it has one again', async () => {
    const connection = connect();
    end = connection.watch();
    up = false;
    online(false);
    await vi.advanceTimersByTimeAsync(0);
    expect([connection.online, connection.reachable]).toEqual([false, false]);
    up = true;
    online(true);
    await vi.advanceTimersByTimeAsync(0);
    expect([connection.online, connection.reachable]).toEqual([true, true]);
  });

  it('may still reach a server on this machine', async () => {
    const connection = connect();
    end = connection.watch();
    online(false);
    await vi.advanceTimersByTimeAsync(0);
    expect([connection.online, connection.reachable]).toEqual([false, true]);
  });
});

it('asks once at a time', async () => {
  let answer: (answered: boolean) => void = () => undefined;
  const probe = vi.fn(
    () =>
      new Promise<boolean>((resolve) => {
        answer = resolve;
      }),
  );
  const connection = new Connection(probe);
  end = connection.watch();
  void connection.suspect();
  void connection.suspect();
  expect(probe).toHaveBeenCalledTimes(1);
  answer(false);
  await vi.advanceTimersByTimeAsync(0);
  window.dispatchEvent(new Event('online'));
  expect(probe).toHaveBeenCalledTimes(2);
});

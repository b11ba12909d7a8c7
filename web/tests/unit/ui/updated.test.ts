import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Connection } from '$/api/connection.svelte';
import { UpdateOffer } from '$/features/shell/updated';
import { toasts } from '$/state/toasts.svelte';

const shown = () => toasts.items.map(({ text }) => text);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  for (const { id } of toasts.items) toasts.dismiss(id);
  vi.useRealTimers();
});

it('offers to load the page again, once, when the server answers', async () => {
  const probe = vi.fn(async () => true);
  const offer = new UpdateOffer(new Connection(probe));
  await Promise.all([offer.partMissing(), offer.partMissing()]);
  await offer.partMissing();
  expect(probe).toHaveBeenCalledTimes(1);
  expect(shown()).toEqual([expect.stringContaining('updated')]);
  expect(toasts.items[0]?.action?.label).toBe('Reload');
});

it('offers nothing while the server is out of reach, and does so when it is back', async () => {
  let up = false;
  const connection = new Connection(async () => up);
  const offer = new UpdateOffer(connection);
  await offer.partMissing();
  expect(shown()).toEqual([]);
  expect(connection.reachable).toBe(false);
  up = true;
  await offer.partMissing();
  expect(shown()).toHaveLength(1);
});

it('waits for an answer that is on its way', async () => {
  let answer: (up: boolean) => void = () => undefined;
  const connection = new Connection(
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  void connection.suspect();
  const offered = new UpdateOffer(connection).partMissing();
  await vi.advanceTimersByTimeAsync(0);
  expect(shown()).toEqual([]);
  answer(false);
  await offered;
  expect(shown()).toEqual([]);
});

it('offers it again after it was dismissed', async () => {
  const offer = new UpdateOffer(new Connection(async () => true));
  await offer.partMissing();
  for (const { id } of toasts.items) toasts.dismiss(id);
  await offer.partMissing();
  expect(shown()).toHaveLength(1);
});

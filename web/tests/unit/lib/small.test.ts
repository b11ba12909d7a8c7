import { describe, expect, test, vi } from 'vitest';
import { announce, announcement } from '$/lib/announce.svelte';
import { readStored, writeStored } from '$/lib/storage';
import { uuid } from '$/lib/uuid';

describe('uuid', () => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

  test('has the form, and no two are the same', () => {
    const many = Array.from({ length: 1000 }, uuid);
    expect(many.every((one) => form.test(one))).toBe(true);
    expect(new Set(many).size).toBe(1000);
  });

  test('also where the origin is plain http', () => {
    const { getRandomValues } = crypto;
    vi.stubGlobal('crypto', { getRandomValues: getRandomValues.bind(crypto) });
    const many = Array.from({ length: 1000 }, uuid);
    expect(many.filter((one) => !form.test(one))).toEqual([]);
    expect(new Set(many).size).toBe(1000);
  });
});

describe('storage', () => {
  test('keeps, gives back, removes', () => {
    expect(writeStored('local', 'k', 'v')).toBe(true);
    expect([readStored('local', 'k'), readStored('session', 'k')]).toEqual(['v', null]);
    writeStored('local', 'k', null);
    expect(readStored('local', 'k')).toBeNull();
  });

  test('that is forbidden, full or absent is nothing', () => {
    vi.stubGlobal('localStorage', undefined);
    expect([writeStored('local', 'k', 'v'), readStored('local', 'k')]).toEqual([false, null]);
  });
});

test('the same announcement twice is two announcements', () => {
  announce('Ready');
  const first = announcement.number;
  announce('Ready');
  expect([announcement.text, announcement.number]).toEqual(['Ready', first + 1]);
});

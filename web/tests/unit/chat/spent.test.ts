import { beforeEach, describe, expect, test, vi } from 'vitest';
import { spentOn, wordsOf } from '$/features/chat/spent';
import { i18n } from '$/lib/i18n.svelte';

const usage = { completion_tokens: 1234 };

describe('what an answer took', () => {
  beforeEach(() => vi.unstubAllGlobals());

  test('is said in words, and the pace is that of the writing', () => {
    const spent = { usage, first_token_ms: 800, total_ms: 20_540 };
    expect(wordsOf(spent)).toEqual([
      '1,234 tokens',
      'first word after 0.8 sec',
      '20.5 sec in all',
      '63 tokens/s',
    ]);
    expect(wordsOf({ usage: { completion_tokens: 1 } })).toEqual(['1 token']);
  });

  test('is marked where nobody counted', () => {
    expect(wordsOf({ usage: { ...usage, estimated: true } })).toEqual(['about 1,234 tokens']);
  });

  test('is left out where it is not known, and has no pace where it came at once', () => {
    expect(wordsOf({})).toEqual([]);
    expect(wordsOf({ usage: null, total_ms: 30 })).toEqual(['0 sec in all']);
    expect(wordsOf({ usage, first_token_ms: 10, total_ms: 400 })).toHaveLength(3);
  });

  test('is asked of the server, and silence is nothing', async () => {
    const fetched = vi.fn(async (_: Request) => Response.json({ usage, total_ms: 2000 }));
    vi.stubGlobal('fetch', fetched);
    expect(await spentOn('g1')).toEqual(['1,234 tokens', '2 sec in all']);
    expect(fetched.mock.calls[0]?.[0].url).toMatch(/\/chat\/generations\/g1$/);
    vi.stubGlobal('fetch', async () => Promise.reject(new TypeError('away')));
    expect(await spentOn('g1')).toEqual([]);
    expect(i18n.locale).toBe('en');
  });
});

import { afterEach, describe, expect, it, vi } from 'vitest';
import { characters, isBlank, prefix, wellFormed } from '$/lib/text';

describe('isBlank', () => {
  it.each([
    '',
    ' \t\r\n',
    '\0',
    '\u00a0\u3000\u2028\u0085',
    '\u200b',
    '\u200c\u200d',
    '\ufeff',
    '\u00ad',
    '\u2800',
    '\u3164\u115f\u1160\uffa0',
    '\ufe0f\u{e0100}\u180b',
    '\u{e0001}\u{e0041}\u{e007f}',
    '\u200e\u200f\u061c\u202a\u202e\u2066\u2069',
    '\u2060\u2061\u2064\u206f',
    '\u034f\u17b4\u17b5',
    '\ufff9\ufffb',
    '\u{1d159}\u{1d173}',
    '\u{16fe4}\u{1bca0}',
  ])('finds nothing to be seen in %j', (text) => {
    expect(isBlank(text)).toBe(true);
    expect(isBlank(`${text}.`)).toBe(false);
  });

  it.each(['a', '\u200ba', '👍🏽', '❤\ufe0f', '\u0301', '\ufffd', '\ud83d', '¿'])('sees %j', (text) => {
    expect(isBlank(text)).toBe(false);
  });
});

describe('wellFormed', () => {
  it.each([
    ['', ''],
    ['plain', 'plain'],
    ['😀', '😀'],
    ['\ud83d', '\ufffd'],
    ['\ude00', '\ufffd'],
    ['a\ud83d', 'a\ufffd'],
    ['\ude00\ud83d', '\ufffd\ufffd'],
    ['\ud83d\ud83d\ude00', '\ufffd😀'],
    ['😀\ude00b', '😀\ufffdb'],
  ])('of %j is %j', (text, wanted) => {
    expect(wellFormed(text)).toBe(wanted);
    expect(() => encodeURIComponent(wellFormed(text))).not.toThrow();
  });
});

describe('prefix', () => {
  const family = '👩\u200d👩\u200d👧';

  it('keeps a short text', () => {
    expect(prefix('abc', 3)).toBe('abc');
  });

  it.each([
    ['abcd', 3, 'abc'],
    [`ab${family}`, 5, 'ab'],
    [family.repeat(3), family.length * 2 + 1, family.repeat(2)],
    ['🇩🇪🇫🇷', 6, '🇩🇪'],
    ['ae\u0301b', 2, 'a'],
    ['a\r\nb', 2, 'a'],
  ])('cuts %j after %i between characters', (text, most, wanted) => {
    expect(prefix(text, most)).toBe(wanted);
  });

  it('cuts within what is longer all by itself, never within a pair', () => {
    expect(prefix(`e${'\u0301'.repeat(50)}`, 4)).toBe('e\u0301\u0301\u0301');
    expect(prefix(family, 3)).toBe('👩\u200d');
    expect(prefix(family, 4)).toBe('👩\u200d');
    expect(wellFormed(prefix(family, 4))).toBe(prefix(family, 4));
  });
});

describe('where the browser knows no characters', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  it('they are code points', async () => {
    vi.resetModules();
    vi.stubGlobal('Intl', Object.create(Intl, { Segmenter: { value: undefined } }));
    const { Segmenter: _, ...rest } = Object.getOwnPropertyDescriptors(Intl);
    vi.stubGlobal('Intl', Object.defineProperties({}, rest));
    const fresh = await import('$/lib/text');
    expect([...fresh.characters('a😀e\u0301')]).toEqual(['a', '😀', 'e', '\u0301']);
    expect(fresh.prefix('a😀b', 2)).toBe('a');
  });
});

it('characters are those that people see', () => {
  expect([...characters('a👩\u200d👧e\u0301')]).toEqual(['a', '👩\u200d👧', 'e\u0301']);
});

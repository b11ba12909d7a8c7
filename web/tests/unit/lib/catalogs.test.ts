import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import de from '$/locales/de.json';
import fresh from '$/locales/en.fresh.json';
import first from '$/locales/en.json';
import later from '$/locales/en.later.json';
import prose from '$/locales/en.prose.json';

const en = { ...first, ...fresh, ...later, ...prose };
const SOURCES = resolve(process.cwd(), 'src');
const PREFIXES = 'auth|sidebar|shell|chat|composer|prose|stream|error|time|toast';
/** Keys that are put together at run time: by what they begin with, and what may follow (nothing named: anything). */
const DYNAMIC: Record<string, readonly string[]> = {
  // Codes are the server's; those that no key names are told in its own words.
  'error.': [],
  'stream.': ['quiet', 'held', 'reconnecting', 'offline'],
  'chat.': ['failed', 'interrupted', 'stopped', 'length', 'empty'],
  // For some codes.
  'chat.advice_': [],
  'prose.alert_': ['note', 'tip', 'important', 'warning', 'caution'],
};

function isDynamic(key: string): boolean {
  return Object.entries(DYNAMIC).some(
    ([prefix, ends]) =>
      key.startsWith(prefix) && (ends.length === 0 || ends.includes(key.slice(prefix.length))),
  );
}

const catalogs: Record<string, Record<string, string>> = { en, de };
const FORMS = /\.(zero|one|two|few|many|other)$/;

/** A key as the sources name it: without its plural form. */
function nameOf(key: string): string {
  const stem = key.replace(FORMS, '');
  return `${stem}.other` in en ? stem : key;
}

/** String literals in the sources that look like keys, and where the first of each is. */
function keysInSources(): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(ts|svelte)$/.test(file) || file.endsWith('.d.ts')) continue;
    const text = readFileSync(join(SOURCES, file), 'utf8');
    for (const [, , key] of text.matchAll(new RegExp(`(['"\`])((?:${PREFIXES})\\.[a-z0-9_.]+)\\1`, 'g'))) {
      if (key !== undefined && !found.has(key)) found.set(key, file);
    }
    for (const [, , key] of text.matchAll(/\btn?\(\s*(['"`])([^'"`$]+)\1/g)) {
      if (key !== undefined && !found.has(key)) found.set(key, file);
    }
  }
  return found;
}

const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

describe('the catalogs', () => {
  const used = keysInSources();

  test('have the same keys, none of them empty', () => {
    for (const [locale, catalog] of Object.entries(catalogs)) {
      const names = (keys: object) => [...new Set(Object.keys(keys).map(nameOf))].sort();
      expect([locale, names(catalog)]).toEqual([locale, names(en)]);
      expect(Object.entries(catalog).filter(([, text]) => text.trim() === '')).toEqual([]);
    }
  });

  test('have each English word once: with what says it', () => {
    const all = [first, fresh, later, prose].flatMap((words) => Object.keys(words));
    expect(all.filter((key, n) => all.indexOf(key) !== n)).toEqual([]);
  });

  test('have every plural form that their language has', () => {
    const stems = Object.keys(en)
      .map(nameOf)
      .filter((name) => `${name}.other` in en);
    for (const [locale, catalog] of Object.entries(catalogs)) {
      const forms = new Intl.PluralRules(locale).resolvedOptions().pluralCategories;
      for (const stem of stems) {
        const missing = forms.filter((form) => !(`${stem}.${form}` in catalog));
        expect([locale, stem, missing]).toEqual([locale, stem, []]);
      }
    }
  });

  test('fill the same places', () => {
    for (const [locale, catalog] of Object.entries(catalogs)) {
      for (const [key, text] of Object.entries(en)) {
        expect([locale, key, placeholders(catalog[key] ?? '')]).toEqual([locale, key, placeholders(text)]);
      }
    }
  });

  test('hold every key that the sources name', () => {
    expect(used.size).toBeGreaterThan(0);
    const unknown = [...used].filter(([key]) => !(key in en) && !(`${key}.other` in en));
    expect(unknown).toEqual([]);
  });

  test('hold every key that is put together at run time', () => {
    const named = Object.entries(DYNAMIC).flatMap(([prefix, ends]) => ends.map((end) => prefix + end));
    expect(named.filter((key) => !(key in en))).toEqual([]);
  });

  test('hold no key that the sources don’t name', () => {
    const unused = Object.keys(en).filter((key) => !used.has(nameOf(key)) && !isDynamic(key));
    expect(unused).toEqual([]);
  });

  test('are written calmly', () => {
    for (const catalog of Object.values(catalogs)) {
      expect(Object.entries(catalog).filter(([, text]) => /!|Oops|\.\.\./.test(text))).toEqual([]);
    }
  });
});

import { beforeEach, describe, expect, test, vi } from 'vitest';

vi.mock('$/locales/en.json', () => ({
  default: {
    'toast.language_failed': 'failed',
    'toast.hello': 'Hello, {name}. {missing}',
    'toast.english_only': 'English',
    'toast.files.one': '{n} file of {name}',
    'toast.files.other': '{n} files of {name}',
  },
}));
vi.mock('$/locales/de.json', () => ({
  default: {
    'toast.hello': 'Hallo, {name}.',
    'toast.files.one': '{n} Datei von {name}',
    'toast.files.other': '{n} Dateien von {name}',
  },
}));

type I18n = typeof import('$/lib/i18n.svelte') & typeof import('$/lib/dates');
/** As the module with the catalogs of this test, whose keys the real ones don't have. */
type Loose = Omit<I18n, 't' | 'tn'> & {
  t(key: string, values?: object): string;
  tn(key: string, n: number, values?: object): string;
};
let lib: Loose;

async function load(languages: string[]): Promise<void> {
  vi.resetModules();
  vi.spyOn(navigator, 'languages', 'get').mockReturnValue(languages);
  lib = { ...(await import('$/lib/i18n.svelte')), ...(await import('$/lib/dates')) } as unknown as Loose;
}

beforeEach(async () => {
  localStorage.clear();
  await load(['en-GB']);
});

describe('texts', () => {
  test('are filled; a value that isn’t given stays visible', () => {
    expect(lib.t('toast.hello', { name: '{name} $& <b>' })).toBe('Hello, {name} $& <b>. {missing}');
  });

  test('take the plural form of their number', () => {
    const name = 'Ada';
    expect(lib.tn('toast.files', 1, { name })).toBe('1 file of Ada');
    expect(lib.tn('toast.files', 0, { name })).toBe('0 files of Ada');
    expect(lib.tn('toast.files', 1200, { name })).toBe('1,200 files of Ada');
  });

  test('change with the language, which is remembered', async () => {
    expect(await lib.setLocale('de')).toBe(true);
    expect(lib.i18n.locale).toBe('de');
    expect(document.documentElement.lang).toBe('de');
    expect(lib.t('toast.hello', { name: 'Ada' })).toBe('Hallo, Ada.');
    expect(lib.tn('toast.files', 1200, { name: 'Ada' })).toBe('1.200 Dateien von Ada');
    await load(['en']);
    await lib.i18n.start();
    expect(lib.i18n.locale).toBe('de');
  });

  test('that a catalog lacks are English', async () => {
    await lib.setLocale('de');
    expect(lib.t('toast.english_only')).toBe('English');
  });

  test('the last of two choices wins', async () => {
    await Promise.all([lib.setLocale('de'), lib.setLocale('en')]);
    expect(lib.i18n.locale).toBe('en');
  });

  test('keys made at run time can be asked for', () => {
    expect([lib.isKey('toast.hello'), lib.isKey('toast.nothing'), lib.isKey('toString')]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('the language', () => {
  test('is the stored one, else the first that somebody reads, else English', () => {
    expect(lib.preferredLocale('de', ['en'])).toBe('de');
    expect(lib.preferredLocale('xx', ['fr-FR', 'de-AT', 'en'])).toBe('de');
    expect(lib.preferredLocale(null, ['fr'])).toBe('en');
  });
});

describe('moments', () => {
  const now = new Date(2026, 2, 12, 14, 5);

  test('are written as the reader’s region does', async () => {
    expect(lib.formatMoment(now)).toBe('12 March 2026 at 14:05');
    expect(lib.formatMonth(now)).toBe('March 2026');
    await lib.setLocale('de');
    expect(lib.formatMoment(now)).toBe('12. März 2026 um 14:05');
  });
});

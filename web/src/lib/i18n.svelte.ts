import type fresh from '$/locales/en.fresh.json';
import english from '$/locales/en.json';
import type later from '$/locales/en.later.json';
import type prose from '$/locales/en.prose.json';
import { readStored, writeStored } from './storage';

export const LOCALES = ['en', 'de'] as const;
export type Locale = (typeof LOCALES)[number];
export type MessageKey = keyof (typeof english & typeof fresh & typeof later & typeof prose);
type StemOf<Key> = Key extends `${infer Stem}.other` ? Stem : never;
/** What `tn` takes: `auth.retry_in` for the keys `auth.retry_in.one`, `auth.retry_in.other`. */
export type PluralKey = StemOf<MessageKey>;
export type Values = Record<string, string | number>;

const STORED = 'locale';
// English is part of the first load; every other catalog is a file of its own.
const LOADERS: Record<Exclude<Locale, 'en'>, () => Promise<{ default: Record<string, string> }>> = {
  de: () => import('$/locales/de.json'),
};

function isLocale(value: unknown): value is Locale {
  return LOCALES.some((locale) => locale === value);
}

/** The first of the languages that somebody reads for which there is a catalog. */
export function preferredLocale(stored: string | null, languages: readonly string[]): Locale {
  if (isLocale(stored)) return stored;
  for (const language of languages) {
    const base = language.toLowerCase().split('-')[0];
    if (isLocale(base)) return base;
  }
  return 'en';
}

class I18n {
  #locale = $state<Locale>('en');
  #catalog = $state.raw<Record<string, string>>(english);
  /** English words that came with a later part of the page. */
  #later = $state.raw<Record<string, string>>({});
  #wanted: Locale = 'en';

  get locale(): Locale {
    return this.#locale;
  }

  /** The language tag for dates and numbers: the reader's own region where it speaks the page's language. */
  get tag(): string {
    const own = navigator.languages.find((language) => language.toLowerCase().split('-')[0] === this.#locale);
    return own ?? this.#locale;
  }

  text(key: string): string | undefined {
    for (const words of [this.#catalog, english as Record<string, string>, this.#later]) {
      if (Object.hasOwn(words, key)) return words[key];
    }
    return undefined;
  }

  /** Takes in the English words that the first load leaves out. */
  add(words: Record<string, string>): void {
    this.#later = { ...this.#later, ...words };
  }

  /** Loads the language of the stored choice or of the browser. Await it before the first paint. Never rejects. */
  async start(): Promise<void> {
    const locale = preferredLocale(readStored('local', STORED), navigator.languages);
    // Without its catalog the page is in English, which works: no reason to hold up the start.
    await this.#load(locale).catch(() => undefined);
  }

  async set(locale: Locale): Promise<boolean> {
    try {
      await this.#load(locale);
    } catch {
      return false;
    }
    writeStored('local', STORED, locale);
    return true;
  }

  async #load(locale: Locale): Promise<void> {
    this.#wanted = locale;
    const catalog = locale === 'en' ? english : (await LOADERS[locale]()).default;
    // Another choice was made while this one loaded.
    if (this.#wanted !== locale) return;
    this.#catalog = catalog;
    this.#locale = locale;
    document.documentElement.lang = locale;
  }
}

export const i18n = new I18n();

/** Changes the language and remembers it. False where its catalog cannot be loaded. */
export function setLocale(locale: Locale): Promise<boolean> {
  return i18n.set(locale);
}

/** Whether there are words for a key yet: for keys that are made at run time. */
export function isKey(key: string): key is MessageKey {
  return i18n.text(key) !== undefined;
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? new Intl.NumberFormat(i18n.tag).format(value) : value;
  });
}

/** The text of a key in the chosen language, `{name}` filled from the values. */
export function t(key: MessageKey, values: Values = {}): string {
  return fill(i18n.text(key) ?? key, values);
}

/** The text for a number of things: the plural form that the language has for it, `{n}` filled. */
export function tn(key: PluralKey, n: number, values: Values = {}): string {
  const form = new Intl.PluralRules(i18n.locale).select(n);
  const text = i18n.text(`${key}.${form}`) ?? i18n.text(`${key}.other`) ?? key;
  return fill(text, { n, ...values });
}

/** A month, as `March 2026`. */
export function formatMonth(moment: Date | string): string {
  return new Intl.DateTimeFormat(i18n.tag, { month: 'long', year: 'numeric' }).format(new Date(moment));
}

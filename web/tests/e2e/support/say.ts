import fresh from '../../../src/locales/en.fresh.json';
import first from '../../../src/locales/en.json';
import later from '../../../src/locales/en.later.json';
import prose from '../../../src/locales/en.prose.json';

const en = { ...first, ...fresh, ...later, ...prose };

/** The page's English words: what people look for when they look for a button. */
export function say(key: keyof typeof en, values: Record<string, string | number> = {}): string {
  const text: string | undefined = en[key];
  if (text === undefined) throw new Error(`the page has no words for ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}

/** The same as a pattern whose placeholders match anything. */
export function saying(key: keyof typeof en): RegExp {
  const parts = say(key, {}).length >= 0 ? en[key].split(/\{\w+\}/) : [];
  return new RegExp(parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'));
}

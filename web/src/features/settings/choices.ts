import { i18n, LOCALES, type Locale, setLocale, t } from '$/lib/i18n.svelte';
import { settings, type Theme } from '$/state/settings.svelte';
import { toasts } from '$/state/toasts.svelte';
import type { MenuItem } from '$/ui/Menu.svelte';

// What this device remembers, whoever is signed in, and before anybody is.

/** The themes as items of a menu, the chosen one checked. Reactive. */
export function themeItems(): MenuItem[] {
  const labels: Record<Theme, string> = {
    system: t('shell.theme_system'),
    light: t('shell.theme_light'),
    dark: t('shell.theme_dark'),
  };
  return (Object.keys(labels) as Theme[]).map((theme) => ({
    label: labels[theme],
    checked: settings.theme === theme,
    onselect: () => {
      settings.theme = theme;
    },
  }));
}

/** The languages as items of a menu, the present one checked. Reactive. */
export function languageItems(): MenuItem[] {
  return LOCALES.map((locale) => ({
    label: languageName(locale),
    checked: i18n.locale === locale,
    onselect: () => void choose(locale),
  }));
}

async function choose(locale: Locale): Promise<void> {
  if (!(await setLocale(locale))) toasts.show({ text: t('toast.language_failed') });
}

/** A language in itself, for whoever cannot read the present one. */
export function languageName(locale: string): string {
  return new Intl.DisplayNames([locale], { type: 'language' }).of(locale) ?? locale;
}

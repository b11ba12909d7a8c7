import words from '$/locales/en.later.json';
import { i18n } from './i18n.svelte';

// What no first visit says: of errors and of forms. Whatever needs these words imports this, and is loaded later itself.
i18n.add(words);

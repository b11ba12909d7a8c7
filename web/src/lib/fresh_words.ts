import words from '$/locales/en.fresh.json';
import { i18n } from './i18n.svelte';

// What only a chat without messages says: it comes with what shows that.
i18n.add(words);

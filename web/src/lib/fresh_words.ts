import words from '$/locales/en.fresh.json';
import { i18n } from './i18n.svelte';

// What is said in a chat without messages: it comes with what shows that.
i18n.add(words);

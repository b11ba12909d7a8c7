import words from '$/locales/en.prose.json';
import { i18n } from './i18n.svelte';

// What is said in messages, and beside them: it comes with what shows them.
i18n.add(words);

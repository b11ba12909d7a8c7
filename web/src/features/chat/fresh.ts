import '$/lib/fresh_words';
import Greeting from './Greeting.svelte';
import Starters from './Starters.svelte';

/** What only a chat without messages shows. */
export default { Greeting, Starters };

import '$/lib/later_words';
import { t } from '$/lib/i18n.svelte';
import type { MessageView } from './message.svelte';
import type { Thread } from './thread.svelte';
import { toasts } from './toasts.svelte';

const SECONDS = 12;

/** Says where the turns after an answer are that has got another one beside it, and leads back to them. */
export function tellOfKeptTurns(thread: Pick<Thread, 'versions' | 'choose'>, earlier: MessageView): void {
  const versions = thread.versions(earlier);
  toasts.show({
    text: t('toast.turns_kept', { n: versions.indexOf(earlier.id) + 1, of: versions.length }),
    seconds: SECONDS,
    action: { label: t('toast.show_version'), run: () => thread.choose(earlier.id) },
  });
}

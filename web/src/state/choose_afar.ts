import '$/lib/later_words';
import type { MessagePage } from '$/api/client';
import { messageOf } from '$/api/errors';
import { t } from '$/lib/i18n.svelte';
import { readBranch } from './history';
import { toasts } from './toasts.svelte';

/** Reads the end of the branch through a message, and hands it over where it is still wanted. */
export async function chooseAfar(
  conversation: string,
  id: string,
  signal: AbortSignal,
  read: (page: MessagePage) => void,
): Promise<void> {
  try {
    const page = await readBranch(conversation, id, { signal });
    if (!signal.aborted) read(page);
  } catch (error) {
    if (!signal.aborted) toasts.show({ text: t('toast.version_failed', { reason: messageOf(error) }) });
  }
}

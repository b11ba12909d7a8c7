import '$/lib/later_words';
import { t } from './i18n.svelte';

/** A tab would open a file that is dropped on it: a drag may bring files before anybody can see which. */
const bringsFiles = (data: DataTransfer | null) => data?.types.includes('Files') ?? false;

/** Shows words to the reader for a while. */
interface Reporter {
  show(words: { text: string }): number;
  dismiss(id: number): void;
}

/**
 * Attachments don't exist yet: whoever drops or pastes a file or a picture is told so, and the page stays. Text that
 * comes with a picture, as spreadsheets copy it, is pasted as ever. Returns what ends it.
 */
export function refuseFiles(reporter: Reporter): () => void {
  let shown = 0;
  const refuse = () => {
    // Said once at a time, however many are dropped.
    reporter.dismiss(shown);
    shown = reporter.show({ text: t('toast.no_files') });
  };
  const over = (event: DragEvent) => {
    if (bringsFiles(event.dataTransfer)) event.preventDefault();
  };
  const drop = (event: DragEvent) => {
    if (!bringsFiles(event.dataTransfer)) return;
    event.preventDefault();
    refuse();
  };
  const paste = (event: ClipboardEvent) => {
    const data = event.clipboardData;
    if (!bringsFiles(data) || data?.getData('text/plain')) return;
    event.preventDefault();
    refuse();
  };
  window.addEventListener('dragover', over);
  window.addEventListener('drop', drop);
  window.addEventListener('paste', paste);
  return () => {
    window.removeEventListener('dragover', over);
    window.removeEventListener('drop', drop);
    window.removeEventListener('paste', paste);
  };
}

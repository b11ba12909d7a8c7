import '$/lib/later_words';
import { t } from '$/lib/i18n.svelte';
import type { ListedModel, models } from '$/state/models.svelte';

/** A model as a person can choose it. */
export interface ModelChoice {
  id: string;
  label: string;
  detail: string;
  chosen: boolean;
}

/** A number of tokens in few letters: 128000 and 131072 are both `128k`, 1048576 is `1M`. */
export function tokensInShort(tokens: number): string {
  const thousand = tokens % 1000 !== 0 && tokens % 1024 === 0 ? 1024 : 1000;
  const thousands = tokens / thousand;
  if (thousands < 1) return String(tokens);
  if (Math.round(thousands) < 1000) return `${Math.round(thousands)}k`;
  return `${Math.round(thousands / 100) / 10}M`;
}

/** A dot between parts stays with the one before it. */
const BETWEEN = '\u00a0· ';

/** What is known of a model, in a few words. */
export function abilitiesOf(model: ListedModel): string[] {
  const words: string[] = [];
  if (model.context_tokens)
    words.push(t('composer.model_context', { size: tokensInShort(model.context_tokens) }));
  if (model.images) words.push(t('composer.model_images'));
  if (model.tools) words.push(t('composer.model_tools'));
  if (model.reasoning) words.push(t('composer.model_reasoning'));
  return words;
}

/** A description may be a sentence of its own. */
function joined(about: string, ...rest: string[]): string {
  return [rest.length > 0 ? about.replace(/\.$/, '') : about, ...rest].join(BETWEEN);
}

/**
 * The models of the list, and the chosen one first where it isn't in there: it is asked all the same. Where two share a
 * name, their ids tell them apart.
 */
export function choicesOf(from: typeof models, chosen: string | null): ModelChoice[] {
  const names = new Map<string, number>();
  for (const model of from.items) {
    const name = from.nameOf(model.id);
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  const choices = from.items.map((model): ModelChoice => {
    const name = from.nameOf(model.id);
    const label = (names.get(name) ?? 0) > 1 ? model.id : name;
    const about = model.description ?? (model.default ? t('composer.model_default') : model.provider);
    return {
      id: model.id,
      label,
      detail: joined(about, ...abilitiesOf(model)),
      chosen: model.id === chosen,
    };
  });
  if (chosen === null || !from.isMissing(chosen)) return choices;
  const name = from.nameOf(chosen);
  const provider = chosen.includes('/') ? chosen.split('/', 1) : [];
  const detail = joined(t('composer.model_missing'), ...provider);
  return [{ id: chosen, label: names.has(name) ? chosen : name, detail, chosen: true }, ...choices];
}

/** The choices that have every word of a text somewhere. */
export function matching(choices: readonly ModelChoice[], text: string): readonly ModelChoice[] {
  const words = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return choices;
  return choices.filter(({ id, label, detail }) => {
    const all = `${id} ${label} ${detail}`.toLocaleLowerCase();
    return words.every((word) => all.includes(word));
  });
}

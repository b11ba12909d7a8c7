import '$/lib/later_words';
import { type GenerationDetails, getGeneration } from '$/api/client';
import { i18n, t, tn } from '$/lib/i18n.svelte';

interface Usage {
  completion_tokens?: number;
  estimated?: boolean;
}
type Spent = Pick<GenerationDetails, 'first_token_ms' | 'total_ms'> & { usage?: Usage | null };

/** A rate of less than this, in milliseconds, is chance. */
const SHORTEST = 500;

function seconds(milliseconds: number): string {
  const format = { style: 'unit', unit: 'second', unitDisplay: 'short', maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat(i18n.tag, format).format(milliseconds / 1000);
}

/** What an answer took, as far as that is known: its tokens, the time to its first word and to its end, the pace between. */
export function wordsOf({ usage, first_token_ms: first, total_ms: total }: Spent): readonly string[] {
  const tokens = usage?.completion_tokens;
  const words: string[] = [];
  if (tokens) words.push(usage?.estimated ? tn('chat.about_tokens', tokens) : tn('chat.tokens', tokens));
  if (typeof first === 'number') words.push(t('chat.first_word', { time: seconds(first) }));
  if (typeof total !== 'number') return words;
  words.push(t('chat.in_all', { time: seconds(total) }));
  const written = total - (first ?? total);
  if (tokens && written >= SHORTEST) words.push(t('chat.pace', { n: Math.round((tokens * 1000) / written) }));
  return words;
}

/** What the answer of a generation took, asked of the server; nothing where that does not say. Never rejects. */
export async function spentOn(generationId: string): Promise<readonly string[]> {
  try {
    return wordsOf((await getGeneration(generationId)) as Spent);
  } catch {
    return [];
  }
}

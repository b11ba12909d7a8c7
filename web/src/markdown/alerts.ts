import type { Token, Tokens } from 'marked';

export type AlertKind = 'note' | 'tip' | 'important' | 'warning' | 'caution';

/** A quote that says in its first line what it is: `> [!NOTE]`. */
export interface Alert {
  type: 'alert';
  raw: string;
  kind: AlertKind;
  tokens: Token[];
}

const MARK = /^\[!(note|tip|important|warning|caution)\][ \t]*(?:\n|$)/i;

/** Makes alerts of the quotes that are ones, at any depth. */
export function markAlerts(blocks: Token[]): void {
  for (const [index, block] of blocks.entries()) {
    if (block.type === 'list') for (const item of (block as Tokens.List).items) markAlerts(item.tokens);
    else if (block.type === 'blockquote') {
      markAlerts(block.tokens ?? []);
      const alert = alertOf(block as Tokens.Blockquote);
      if (alert !== undefined) blocks[index] = alert;
    } else if (block.type === 'details' || block.type === 'footnote') markAlerts(block.tokens ?? []);
  }
}

function alertOf(quote: Tokens.Blockquote): Alert | undefined {
  const [begins, ...others] = quote.tokens;
  if (begins?.type !== 'paragraph') return undefined;
  const paragraph = begins as Tokens.Paragraph;
  const first = paragraph.tokens[0];
  if (first?.type !== 'text') return undefined;
  const [mark, kind] = MARK.exec(first.raw) ?? [];
  if (mark === undefined || kind === undefined) return undefined;
  const rest = first.raw.slice(mark.length);
  let words = paragraph.tokens.slice(1);
  if (rest !== '') words = [{ ...first, raw: rest, text: rest }, ...words];
  else if (words[0]?.type === 'br') words = words.slice(1);
  // Words behind the mark in its own line: it is no mark.
  else if (!mark.endsWith('\n') && words.length > 0) return undefined;
  const left = words.length === 0 ? others : [{ ...paragraph, tokens: words }, ...others];
  return { type: 'alert', raw: quote.raw, kind: kind.toLowerCase() as AlertKind, tokens: left };
}

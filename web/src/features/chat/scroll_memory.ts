/** Where a reader was: this message stood so many px below the upper edge. */
export interface Spot {
  messageId: string;
  offset: number;
}

const LIMIT = 50;
const spots = new Map<string, Spot>();

/** Keeps the place in a conversation for the time the page is open; null: at the end, which needs no memory. */
export function keepSpot(conversationId: string, spot: Spot | null): void {
  spots.delete(conversationId);
  if (!spot) return;
  spots.set(conversationId, spot);
  if (spots.size > LIMIT) {
    const oldest = spots.keys().next();
    if (!oldest.done) spots.delete(oldest.value);
  }
}

export function spotOf(conversationId: string): Spot | null {
  return spots.get(conversationId) ?? null;
}

/** A model's name without its provider: `local/smollm2` is `smollm2`. */
export function shortName(id: string): string {
  return id.slice(id.indexOf('/') + 1) || id;
}

/** Whether a model runs on the server's own processor. */
export function isLocal(id: string | null): boolean {
  return id?.startsWith('local/') ?? false;
}

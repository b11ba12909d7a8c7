import type { Connection } from '$/api/connection.svelte';

/** Watches a connection as a component does. Gives back what ends that. */
export function watchInEffect(connection: Connection): () => void {
  return $effect.root(() => {
    $effect(() => connection.watch());
  });
}

// A conversation is a tree: siblings come from a retry or an edit. What is shown is one branch, from the root to its tip.

interface Node {
  readonly id: string;
  readonly parentId: string | null;
}

/** The branch that ends in `tip`, root first. A parent that isn't there begins the branch. */
export function branchTo<N extends Node>(nodes: readonly N[], tip: N | null): N[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const branch: N[] = [];
  const seen = new Set<N>();
  for (let node = tip; node !== null && !seen.has(node); ) {
    seen.add(node);
    branch.push(node);
    node = node.parentId === null ? null : (byId.get(node.parentId) ?? null);
  }
  return branch.reverse();
}

/** The end of the newest branch through `start`: of several children the last one. `nodes` are oldest first. */
export function newestTip<N extends Node>(nodes: readonly N[], start: N): N {
  const lastChild = new Map<string, N>();
  for (const node of nodes) if (node.parentId !== null) lastChild.set(node.parentId, node);
  const seen = new Set<N>();
  let tip = start;
  for (let next: N | undefined = start; next && !seen.has(next); next = lastChild.get(next.id)) {
    seen.add(next);
    tip = next;
  }
  return tip;
}

/** The branches at a message: it and its siblings, oldest first. */
export function siblingsOf<N extends Node & { readonly role: string }>(nodes: readonly N[], node: N): N[] {
  return nodes.filter((other) => other.parentId === node.parentId && other.role === node.role);
}

/** The model that answered last on a branch. */
export function lastModel(
  branch: readonly { readonly role: string; readonly model: string | null }[],
): string | null {
  return branch.findLast((message) => message.role === 'assistant' && message.model)?.model ?? null;
}

// A conversation is a tree: siblings come from a retry or an edit. What is shown is one branch, from the root to its tip. Of
// a tree only those messages are here that were read: of others the siblings' ids are known.

interface Node {
  readonly id: string;
  readonly parentId: string | null;
  readonly role: string;
  readonly createdAt: string;
  /** Its versions as the server told them when it was read, oldest first, itself among them. Empty where it has not. */
  readonly siblings: readonly string[];
}

/** The messages of a conversation that are here. */
export class Branches<N extends Node> {
  readonly #byId = new Map<string, N>();
  readonly #after = new Map<string | null, N[]>();

  constructor(nodes: Iterable<N>) {
    for (const node of nodes) {
      this.#byId.set(node.id, node);
      const beside = this.#after.get(node.parentId);
      if (beside) beside.push(node);
      else this.#after.set(node.parentId, [node]);
    }
  }

  get(id: string): N | undefined {
    return this.#byId.get(id);
  }

  /** The branch that ends in `tip`, root first. A parent that isn't here begins the branch. */
  to(tip: N | null): N[] {
    const branch: N[] = [];
    const seen = new Set<N>();
    for (let node = tip; node !== null && !seen.has(node); ) {
      seen.add(node);
      branch.push(node);
      node = node.parentId === null ? null : (this.#byId.get(node.parentId) ?? null);
    }
    return branch.reverse();
  }

  /** A message and its siblings that are here. */
  siblings(node: N): N[] {
    return this.#following(node.parentId).filter((other) => other.role === node.role);
  }

  /** The versions of a message, oldest first, itself among them: those that the server told of, then those made here. */
  versions(node: N): readonly string[] {
    const here = this.siblings(node);
    let told: readonly string[] = [];
    // Of several lists the longest is the newest: nothing is ever taken out of one.
    for (const { siblings } of here) if (siblings.length > told.length) told = siblings;
    const made = here.filter(({ id }) => !told.includes(id));
    return made.length === 0 ? told : [...told, ...made.map(({ id }) => id)];
  }

  /**
   * The end of the newest branch through `start`, as far as it is here: of several versions that follow a message, the last
   * one. `whole` says whether the server would end there too.
   */
  newest(start: N): { tip: N; whole: boolean } {
    const seen = new Set<N>();
    let tip = start;
    let whole = true;
    for (let next: N | undefined = start; next && !seen.has(next); ) {
      seen.add(next);
      tip = next;
      next = undefined;
      for (const one of this.#following(tip.id)) {
        const versions = this.versions(one);
        // A newer one is here.
        if (versions.findLast((id) => this.#byId.has(id)) !== one.id) continue;
        whole &&= versions.at(-1) === one.id;
        if (!next || one.createdAt > next.createdAt) next = one;
      }
    }
    return { tip, whole };
  }

  #following(id: string | null): readonly N[] {
    return this.#after.get(id) ?? [];
  }
}

/** The model that answered last on a branch. */
export function lastModel(
  branch: readonly { readonly role: string; readonly model: string | null }[],
): string | null {
  return branch.findLast((message) => message.role === 'assistant' && message.model)?.model ?? null;
}

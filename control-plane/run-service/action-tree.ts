/**
 * The phases of a run's actions as a tree that counts: for each action how many of all its descendants are in which phase.
 * A change costs its depth. Numbers and interned parents only, some 60 bytes an action beside its name.
 *
 * Actions may come in any order: a child whose parent was not seen yet is kept below it, and counts when it comes.
 */
export interface ActionTree {
  /** Adds an action or moves it, and gives each known ancestor whose counts that changes to `touched`. */
  apply(action: { name: string; parent: string | null; phase: number }, touched: (name: string) => void): void;
  /** Descendants by phase; phases without any are absent. */
  counts(name: string): Record<number, number>;
}

/** One more than the largest ActionPhase; 0 stands for an action that was named as a parent only. */
const PHASES = 16;
const NONE = -1;

export function actionTree(): ActionTree {
  const ids = new Map<string, number>();
  const names: string[] = [];
  const below = new Map<number, Uint32Array>();
  let parents = new Int32Array(64);
  let phases = new Uint8Array(64);

  function idOf(name: string): number {
    const known = ids.get(name);
    if (known !== undefined) return known;
    const id = names.push(name) - 1;
    ids.set(name, id);
    if (id >= parents.length) {
      parents = grown(new Int32Array(parents.length * 2), parents);
      phases = grown(new Uint8Array(phases.length * 2), phases);
    }
    parents[id] = NONE;
    return id;
  }

  /** Walks up from the parent of `id`. */
  function ancestors(id: number, visit: (counts: Uint32Array, name: string, known: boolean) => void): void {
    for (let at = parents[id] ?? NONE; at !== NONE; at = parents[at] ?? NONE) {
      const counts = below.get(at) ?? new Uint32Array(PHASES);
      below.set(at, counts);
      visit(counts, names[at] ?? "", phases[at] !== 0);
    }
  }

  return {
    apply({ name, parent, phase }, touched) {
      const id = idOf(name);
      const before = phases[id] ?? 0;
      if (before === phase) return;
      const first = before === 0;
      phases[id] = phase;
      if (first && parent) {
        const above = idOf(parent);
        parents[id] = above;
      }
      // What hung below a parent not seen yet is new to all above it.
      const own = first ? below.get(id) : undefined;
      ancestors(id, (counts, ancestor, known) => {
        if (!first) counts[before] = (counts[before] ?? 0) - 1;
        counts[phase] = (counts[phase] ?? 0) + 1;
        own?.forEach((count, of) => {
          counts[of] = (counts[of] ?? 0) + count;
        });
        if (known) touched(ancestor);
      });
    },
    counts(name) {
      const id = ids.get(name);
      const result: Record<number, number> = {};
      const counts = id === undefined ? undefined : below.get(id);
      counts?.forEach((count, phase) => {
        if (count > 0) result[phase] = count;
      });
      return result;
    },
  };
}

function grown<A extends Int32Array | Uint8Array>(larger: A, smaller: A): A {
  larger.set(smaller);
  return larger;
}

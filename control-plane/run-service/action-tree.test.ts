import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { actionTree } from "./action-tree.ts";

interface Seen {
  name: string;
  parent: string | null;
  phase: number;
}

/** The counts by walking the whole tree. */
function expected(actions: ReadonlyMap<string, Seen>, of: string): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { name, phase } of actions.values()) {
    for (let at = actions.get(name)?.parent; at; at = actions.get(at)?.parent) {
      if (at === of) counts[phase] = (counts[phase] ?? 0) + 1;
    }
  }
  return counts;
}

/** A tree of up to 40 actions, n below one with a smaller number, seen in any order and moved any number of times. */
const history = fc.array(fc.nat(), { minLength: 1, maxLength: 40 }).chain((picks) =>
  fc
    .array(fc.record({ which: fc.nat({ max: picks.length - 1 }), phase: fc.integer({ min: 1, max: 10 }) }), {
      maxLength: 200,
    })
    .map((moves) => ({ parents: picks.map((pick, n) => (n === 0 ? null : `a${pick % n}`)), moves })),
);

test("counts are those of a full walk once every ancestor was seen, and each changed one is told", () => {
  fc.assert(
    fc.property(history, ({ parents, moves }) => {
      const tree = actionTree();
      const actions = new Map<string, Seen>();
      // At the end everything is seen, so that no parent is missing.
      const all = [...moves, ...parents.map((_, which) => ({ which, phase: 5 }))];
      for (const { which, phase } of all) {
        const action = { name: `a${which}`, parent: parents[which] ?? null, phase };
        const before = new Map([...actions.keys()].map((name) => [name, JSON.stringify(tree.counts(name))]));
        const touched = new Set<string>();
        tree.apply(action, (name) => touched.add(name));
        actions.set(action.name, action);
        for (const [name, counts] of before) {
          if (name !== action.name && JSON.stringify(tree.counts(name)) !== counts) {
            assert.ok(touched.has(name), `${name} changed and was not told`);
          }
        }
        for (const name of touched) assert.ok(actions.has(name), `${name} was told and is not known`);
      }
      for (const name of actions.keys()) assert.deepEqual(tree.counts(name), expected(actions, name));
    }),
  );
});

test("a child seen before its parent counts when the parent comes", () => {
  const tree = actionTree();
  const touched: string[] = [];
  tree.apply({ name: "a0", parent: null, phase: 4 }, (name) => touched.push(name));
  tree.apply({ name: "leaf", parent: "middle", phase: 5 }, (name) => touched.push(name));
  assert.deepEqual(tree.counts("a0"), {});
  tree.apply({ name: "middle", parent: "a0", phase: 4 }, (name) => touched.push(name));
  assert.deepEqual(tree.counts("a0"), { 4: 1, 5: 1 });
  assert.deepEqual(tree.counts("middle"), { 5: 1 });
  assert.deepEqual(touched, ["a0"]);
});

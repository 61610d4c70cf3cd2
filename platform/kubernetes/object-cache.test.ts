/** Whatever is missed, the events of each object stay in order and the end state is right. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { objectCache } from "./object-cache.ts";
import type { KubeObject } from "./objects.ts";

interface Change {
  name: string;
  kind: "write" | "delete";
  /** Whether the watch sees it; a list follows what it did not see. */
  seen: boolean;
}

const changes = fc.array(
  fc.record<Change>({
    name: fc.constantFrom("a", "b", "c"),
    kind: fc.constantFrom("write", "write", "delete"),
    seen: fc.boolean(),
  }),
  { maxLength: 60 },
);

test("events tell every difference, and each uid is added once and deleted once", () => {
  fc.assert(
    fc.property(changes, (history) => {
      const server = new Map<string, KubeObject>();
      const cache = objectCache<KubeObject>();
      const told = new Map<string, KubeObject | "gone">();
      let version = 0;
      const note = (events: ReturnType<typeof cache.put>) => {
        for (const event of events) {
          const uid = event.object.metadata.uid as string;
          const before = told.get(uid);
          if (event.type === "added") assert.equal(before, undefined);
          else assert.ok(before && before !== "gone");
          told.set(uid, event.type === "deleted" ? "gone" : event.object);
        }
      };
      for (const { name, kind, seen } of history) {
        version += 1;
        const known = server.get(name);
        if (kind === "delete" && !known) continue;
        const uid = known?.metadata.uid ?? `${name}-${version}`;
        const object = { metadata: { name, uid, resourceVersion: String(version) } };
        if (kind === "delete") server.delete(name);
        else server.set(name, object);
        if (seen) {
          note(kind === "delete" ? cache.remove(object) : cache.put(object));
          continue;
        }
        const relist = cache.relist();
        for (const each of server.values()) note(relist.put(each));
        note(relist.finish());
      }
      assert.deepEqual([...cache.objects].sort(), [...server].sort());
      const living = [...told.values()].filter((each) => each !== "gone");
      assert.deepEqual(new Set(living), new Set(server.values()));
    }),
  );
});

test("the same version again is no event; a deletion of an earlier object of that name neither", () => {
  const cache = objectCache<KubeObject>();
  const object = { metadata: { name: "a", namespace: "n", uid: "1", resourceVersion: "1" } };
  assert.equal(cache.put(object).length, 1);
  assert.deepEqual(cache.put({ ...object }), []);
  assert.deepEqual(cache.remove({ metadata: { ...object.metadata, uid: "0" } }), []);
  assert.deepEqual([...cache.objects.keys()], ["n/a"]);
});

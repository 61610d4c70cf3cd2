/**
 * What is known of a set of objects, and what changed when more becomes known. No clock, no network.
 *
 * Promise: the events of an object are added, modified…, deleted, in this order, whatever was missed in between. An
 * object that was deleted and made again under its name is a deletion and an addition, by its uid; a version that is
 * known already is no event.
 */
import { type KubeObject, keyOf } from "./objects.ts";

export type CacheEvent<T> =
  | { type: "added"; object: T }
  | { type: "modified"; object: T; previous: T }
  /** `missed`: nobody saw it go, so `object` is what was last known and may not be its last state. */
  | { type: "deleted"; object: T; missed: boolean };

export interface ObjectCache<T> {
  readonly objects: ReadonlyMap<string, T>;
  put(object: T): CacheEvent<T>[];
  remove(object: T): CacheEvent<T>[];
  /** For a list of everything that may come in pages: what no page had is gone when it is finished. */
  relist(): { put(object: T): CacheEvent<T>[]; finish(): CacheEvent<T>[] };
}

export function objectCache<T extends KubeObject>(): ObjectCache<T> {
  const objects = new Map<string, T>();

  function put(object: T): CacheEvent<T>[] {
    const key = keyOf(object);
    const previous = objects.get(key);
    if (previous?.metadata.resourceVersion === object.metadata.resourceVersion && sameObject(previous, object))
      return [];
    objects.set(key, object);
    if (previous === undefined) return [{ type: "added", object }];
    if (sameObject(previous, object)) return [{ type: "modified", object, previous }];
    return [
      { type: "deleted", object: previous, missed: true },
      { type: "added", object },
    ];
  }

  return {
    objects,
    put,
    remove(object) {
      const key = keyOf(object);
      const previous = objects.get(key);
      // What is known now is another object of that name: the one that went is long gone here.
      if (previous === undefined || !sameObject(previous, object)) return [];
      objects.delete(key);
      return [{ type: "deleted", object, missed: false }];
    },
    relist() {
      const seen = new Set<string>();
      return {
        put(object) {
          seen.add(keyOf(object));
          return put(object);
        },
        finish() {
          const events: CacheEvent<T>[] = [];
          for (const [key, object] of objects) {
            if (seen.has(key)) continue;
            objects.delete(key);
            events.push({ type: "deleted", object, missed: true });
          }
          return events;
        },
      };
    },
  };
}

function sameObject(a: KubeObject | undefined, b: KubeObject): boolean {
  return a?.metadata.uid === b.metadata.uid;
}

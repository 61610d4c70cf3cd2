/** The class of an action from its task and its run. Most actions of a run share one, so what was worked out is kept. */
import { type RouteClass, routeClass } from "@flyte-ts/core";
import type { KnownRun } from "../run-service/run-cache.ts";
import type { KnownSpec } from "./specs.ts";

/** Placements remembered for a task; what is beyond is worked out again. */
const REMEMBERED = 100;

/** `queue` is the action's own; without it that of its run counts. */
export function routeClasses(): (spec: KnownSpec, run: KnownRun, queue: string) => RouteClass {
  const known = new WeakMap<KnownSpec, Map<string, RouteClass>>();
  return (spec, { placement }, queue) => {
    const wanted = { ...placement, queue: queue || placement.queue };
    const key = JSON.stringify([wanted.queue, wanted.pool, wanted.selector]);
    let classes = known.get(spec);
    if (!classes || classes.size >= REMEMBERED) {
      classes = new Map();
      known.set(spec, classes);
    }
    let found = classes.get(key);
    if (!found) {
      found = routeClass(spec.policy.taskType, spec.policy.needs, wanted);
      classes.set(key, found);
    }
    return found;
  };
}

/** An executor on a store, with sleeps and with attempts that a test ends, against a scripted control plane. */
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { type ActionStore, type Ending, executor, type Plugin } from "../../executor/index.ts";
import { silentLog } from "../../executor/log.ts";
import { scriptedControlPlane } from "../../executor/testing/scripted-control-plane.ts";
import { sleepPlugin } from "../../plugins/sleep/index.ts";

export function executorOn(store: ActionStore, objectStore: Pick<ObjectStore, "get">, plane = scriptedControlPlane()) {
  const endings: [string, Ending][] = [];
  /** Runs until it is ended from outside. */
  const endless: Plugin = {
    taskTypes: ["endless"],
    reconcile: (context) =>
      context.startedAt ? {} : { transitions: [{ phase: "running", at: context.now }], state: { begun: true } },
    abort(context, ending) {
      endings.push([context.key, ending]);
      return { released: true };
    },
  };
  const stop = new AbortController();
  const done = executor({
    cluster: "east",
    link: plane.link,
    store,
    plugins: [sleepPlugin({ objectStore }), endless],
    log: silentLog,
    slots: 100,
    backoff: { firstMs: 5, maxMs: 50 },
  }).run(stop.signal);
  return {
    plane,
    endings,
    phase: (key: string, phase: string) => plane.until(() => plane.told(key).phases.includes(phase)),
    async released(key: string) {
      await plane.until(() => plane.told(key).released);
      return plane.told(key);
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

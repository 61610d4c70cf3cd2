/** Objects that stand for no attempt: each is told so, in its status. */
import { reconciler } from "@flyte-ts/platform/work-queue";
import type { Log } from "../executor/index.ts";
import type { Address, Calls } from "./calls.ts";

export interface Rejections {
  add(address: Address, why: string): void;
  run(signal: AbortSignal): Promise<void>;
}

export function rejections({ api, log }: { api: Pick<Calls, "reject">; log: Log }): Rejections {
  const waiting = new Map<string, { address: Address; why: string }>();
  const queue = reconciler({
    concurrency: 2,
    async reconcile(id) {
      const found = waiting.get(id);
      if (!found) return undefined;
      await api.reject(found.address, found.why, new Date());
      waiting.delete(id);
      return undefined;
    },
    onError: (id, error) => log.warn({ object: id, err: error }, "a TaskAction that is not one could not be told so"),
  });
  return {
    add(address, why) {
      const id = `${address.namespace}/${address.name}`;
      waiting.set(id, { address, why });
      queue.add(id);
      log.warn({ object: id, why }, "a TaskAction that stands for no attempt is ignored");
    },
    run: (signal) => queue.run(signal),
  };
}

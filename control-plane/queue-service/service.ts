/** QueueService: the older wire form of enqueue and abort, for clients without `_U_USE_ACTIONS`. */
import type { ServiceImpl } from "@connectrpc/connect";
import type { QueueService } from "@flyte-ts/contract/flyteidl2/workflow/queue_service_pb.ts";
import { ROOT_ACTION } from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { identityOf } from "../identity-service/index.ts";
import type { Aborts } from "../state-service/index.ts";
import type { Enqueue } from "./enqueue.ts";
import { enqueueItem } from "./wire-action.ts";

export interface QueueServiceOptions {
  queue: Enqueue;
  aborts: Aborts;
  objects: ObjectStore;
}

export function queueService({ queue, aborts, objects }: QueueServiceOptions): ServiceImpl<typeof QueueService> {
  return {
    async enqueueAction(request) {
      await queue.submit(await enqueueItem(request, objects));
      return {};
    },
    async abortQueuedAction({ actionId, reason }, context) {
      await aborts.strict(actionId, reason ?? "", identityOf(context).subject);
      return {};
    },
    async abortQueuedRun({ runId, reason }, context) {
      const root = runId && { run: runId, name: ROOT_ACTION };
      await aborts.strict(root, reason ?? "", identityOf(context).subject);
      return {};
    },
  };
}

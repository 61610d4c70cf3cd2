/** From rows to what an executor is sent. */
import { create } from "@bufbuild/protobuf";
import {
  type AbortOrder,
  AbortOrderSchema,
  type ActionRef,
  ActionRefSchema,
  type LeasedAction,
  LeasedActionSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import type { KnownRun, RunCache } from "../run-service/run-cache.ts";
import type { LeasedItem } from "./lease-store.ts";
import { requireSpec, type SpecCache } from "./specs.ts";

export interface DescribeOptions {
  database: Sql;
  specs: SpecCache;
  runs: RunCache;
}

export async function leasedActions(
  { database, specs, runs }: DescribeOptions,
  items: readonly LeasedItem[],
): Promise<LeasedAction[]> {
  if (items.length === 0) return [];
  const known = await runs.byId(database, [...new Set(items.map((item) => item.runId))]);
  const digests = items.flatMap(({ specDigest }) => (specDigest ? [specDigest] : []));
  const loaded = await specs.load(database, digests);
  return items.flatMap((item) => {
    const run = known.get(item.runId);
    return run && item.specDigest ? [leasedAction(item, run, requireSpec(loaded, item.specDigest).bytes)] : [];
  });
}

export async function abortOrders(
  { database, runs }: DescribeOptions,
  items: readonly LeasedItem[],
): Promise<AbortOrder[]> {
  if (items.length === 0) return [];
  const known = await runs.byId(database, [...new Set(items.map((item) => item.runId))]);
  return items.flatMap((item) => {
    const run = known.get(item.runId);
    if (!run) return [];
    const { name, epoch, attempt, abortReason } = item;
    return [create(AbortOrderSchema, { ref: refOf(run, name), epoch, attempt, reason: abortReason ?? "" })];
  });
}

function refOf(run: KnownRun, name: string): ActionRef {
  return create(ActionRefSchema, { project: run.project, domain: run.domain, run: run.name, name, runKey: run.id });
}

function leasedAction(item: LeasedItem, run: KnownRun, taskSpec: Uint8Array): LeasedAction {
  const { interruptible } = run.spec;
  return create(LeasedActionSchema, {
    ref: refOf(run, item.name),
    epoch: item.epoch,
    attempt: item.attempt,
    parent: item.parent ?? "",
    taskType: item.taskType,
    taskSpec,
    inputUri: item.inputUri,
    runOutputBase: item.runOutputBase,
    envs: run.envs,
    labels: run.labels,
    annotations: run.annotations,
    runStartTime: toTimestamp(run.startTime),
    rawDataPrefix: run.rawDataPrefix,
    group: item.groupName,
    enqueuedAt: toTimestamp(item.createdAt),
    ...(item.startedAt && { startedAt: toTimestamp(item.startedAt) }),
    ...(interruptible !== undefined && { interruptible }),
    serviceAccount: run.spec.securityContext?.runAs?.k8sServiceAccount ?? "",
    shortName: item.shortName,
    cacheKey: item.cacheKey,
  });
}

/**
 * Gives up the leases of clusters that are not heard of any more. Each attempt ends as a failure of the system, through
 * the one writer, so that it is tried again elsewhere with a new epoch; what the lost cluster reports of it later is stale.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  ExecutionErrorSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { AttemptReportSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ActionPhase, type Clock, systemClock, toTimestamp } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { StateWriter } from "../state-service/index.ts";
import { lostItems } from "./lease-store.ts";
import { type Sessions, seconds } from "./sessions.ts";
import { ItemState } from "./store.ts";

const BATCH = 500;

export interface GiveUpOptions {
  database: Database;
  writer: StateWriter;
  clock?: Clock;
}

/** Ends whatever lost clusters hold. Replicas that do so at the same time do it once: the second report is stale. */
export function giveUpLost({ database, writer, clock = systemClock }: GiveUpOptions): () => Promise<void> {
  return async () => {
    for (;;) {
      const items = await lostItems(database, BATCH);
      const results = await Promise.all(
        items.map(({ runId, name, epoch, attempt, state, cluster, silentMs }) => {
          const report = create(AttemptReportSchema, { epoch, attempt, released: true });
          // Of an action that is over only the lease goes.
          if (state === ItemState.leased) {
            report.transitions.push({
              $typeName: "flytets.cluster.v1.PhaseChange",
              phase: ActionPhase.FAILED,
              at: toTimestamp(clock.now()),
            });
            report.error = lostError(cluster, silentMs);
          }
          return writer.submit({ kind: "report", key: { runId, name }, cluster, report });
        }),
      );
      if (items.length < BATCH || results.every((result) => result === "stale")) return;
    }
  };
}

function lostError(cluster: string, silentMs: number): Uint8Array {
  const message = `cluster ${cluster} was not heard of for ${seconds(silentMs)}, so this attempt was given up; see what became of its executor`;
  const error = create(ExecutionErrorSchema, {
    code: "ClusterLost",
    message,
    kind: ExecutionError_ErrorKind.SYSTEM,
    recoverability: ContainerError_Kind.RECOVERABLE,
  });
  return toBinary(ExecutionErrorSchema, error);
}

export interface FencingOptions {
  sessions: Sessions;
  giveUp(): Promise<void>;
  onError(error: unknown): void;
}

/**
 * Runs until `signal` is aborted; safe on every replica. An outage of the control plane must cost no leases, as no
 * executor could be heard meanwhile: clusters are lost only after a whole lease in which looking never failed.
 */
export async function watchClusters({ sessions, giveUp, onError }: FencingOptions, signal: AbortSignal): Promise<void> {
  const { leaseMs } = sessions;
  const tickMs = Math.max(10, Math.min(leaseMs / 12, 5000));
  let since = performance.now();
  let last = since;
  while (!signal.aborted) {
    const now = performance.now();
    // A process that stood still heard nobody either.
    if (now - last > leaseMs / 2 + tickMs) since = now;
    last = now;
    try {
      if (now - since >= leaseMs) await sessions.loseSilent();
      await giveUp();
    } catch (error) {
      since = performance.now();
      onError(error);
    }
    await sleep(tickMs, undefined, { signal }).catch(() => undefined);
  }
}

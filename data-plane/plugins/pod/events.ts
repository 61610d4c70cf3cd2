/** What Kubernetes tells about a pod beside its status, as cluster events of the attempt. Pure. */
import { create } from "@bufbuild/protobuf";
import {
  type ClusterEvent,
  ClusterEvent_Type,
  ClusterEventSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import type { KubeEvent } from "./objects.ts";
import { dateOf } from "./times.ts";

export function clusterEvent(event: KubeEvent): ClusterEvent {
  const at = timeOf(event);
  return create(ClusterEventSchema, {
    ...(at ? { occurredAt: toTimestamp(at) } : {}),
    message: event.message ?? "",
    type: types[event.type ?? ""] ?? ClusterEvent_Type.UNSPECIFIED,
    reason: event.reason ?? "",
    sourceComponent: event.source?.component || event.reportingComponent || "",
    count: countOf(event),
  });
}

const types: Readonly<Record<string, ClusterEvent_Type>> = {
  Normal: ClusterEvent_Type.NORMAL,
  Warning: ClusterEvent_Type.WARNING,
};

/** One of our own, about an object that does not exist yet. */
export function ownEvent(at: Date, reason: string, message: string): ClusterEvent {
  const type = ClusterEvent_Type.WARNING;
  return create(ClusterEventSchema, {
    occurredAt: toTimestamp(at),
    message,
    type,
    reason,
    sourceComponent: "flyte-ts",
    count: 1,
  });
}

export interface News {
  events: ClusterEvent[];
  /** What has been told by now: to be handed in at the next look. */
  told: string;
}

/** Remembered events of one attempt; more are told again after a restart at worst. */
const REMEMBERED = 64;

/**
 * Those that were not told yet, oldest first. Kubernetes counts repetitions in the same event, so an event whose count
 * has grown is news again. `told` is the text that the last look gave.
 */
export function news(events: readonly KubeEvent[], told: string): News {
  const known = new Map(
    told.split(" ").flatMap((one) => {
      const [id, count] = one.split(":");
      return id && count ? [[id, Number(count)] as const] : [];
    }),
  );
  const fresh = events
    .filter((event) => countOf(event) > (known.get(idOf(event)) ?? 0))
    .sort((a, b) => (timeOf(a)?.getTime() ?? 0) - (timeOf(b)?.getTime() ?? 0));
  for (const event of fresh) {
    // Last in the map is youngest.
    known.delete(idOf(event));
    known.set(idOf(event), countOf(event));
  }
  const kept = [...known].slice(-REMEMBERED).map(([id, count]) => `${id}:${count}`);
  return { events: fresh.map(clusterEvent), told: kept.join(" ") };
}

/** Names of events end in a number that tells those of one object apart. */
function idOf({ metadata }: KubeEvent): string {
  return (metadata.uid ?? metadata.name).replaceAll(/[-: ]/g, "").slice(0, 12);
}

function countOf({ count, series }: KubeEvent): number {
  return Math.max(1, count ?? 0, series?.count ?? 0);
}

function timeOf({ series, lastTimestamp, eventTime, firstTimestamp, metadata }: KubeEvent): Date | undefined {
  return dateOf(series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? firstTimestamp ?? metadata.creationTimestamp);
}

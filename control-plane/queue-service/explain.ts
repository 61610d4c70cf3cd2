/** Why an action waits, or where it is, in sentences for people. */
import { isTerminal, phaseName, type Requirements, route, type Verdict } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { type ActionKey, lastCluster, readActions } from "../state-service/store.ts";
import { routable } from "./cluster-registry.ts";
import { type ClusterCounts, type ClusterRow, countHeld, readClusters } from "./clusters-store.ts";
import { seconds } from "./sessions.ts";
import { ItemState, type QueuedItem, readItem } from "./store.ts";

export interface Explanation {
  summary: string;
  /** Of a pending action: one a cluster. */
  clusters: Verdict[];
}

/** Undefined for an action that does not exist. */
export async function explain(sql: Sql, key: ActionKey): Promise<Explanation | undefined> {
  const [[action], item] = await Promise.all([readActions(sql, [key]), readItem(sql, key)]);
  if (!action) return undefined;
  const told = (summary: string): Explanation => ({ summary, clusters: [] });
  if (isTerminal(action.phase)) {
    const cluster = item?.cluster ?? (await lastCluster(sql, key));
    const where = cluster ? `; its last attempt was on cluster ${cluster}` : "";
    const cleans = item?.state === ItemState.ending ? ", which still cleans up behind it" : "";
    return told(`it is over: ${phaseName(action.phase)}${where}${cleans}`);
  }
  if (!item) return told("it is just being written; ask again");
  switch (item.state) {
    case ItemState.leased:
      return told(`attempt ${item.attempt} is leased to cluster ${item.cluster}: ${phaseName(action.phase)}`);
    case ItemState.held:
      return told("it is a condition and waits for its signal; it needs no cluster");
    case ItemState.waitsForCache:
      return told("it waits for another action that computes the same cached result");
    default:
      return pending(sql, item);
  }
}

/** Of a pending action that no cluster may take: one sentence that says why. */
export async function whyUnroutable(sql: Sql, key: ActionKey): Promise<{ message: string; since: Date } | undefined> {
  const item = await readItem(sql, key);
  if (item?.state !== ItemState.pending || !item.requirements) return undefined;
  const verdicts = route(item.requirements, (await readClusters(sql)).map(routable));
  if (verdicts.some(({ mayTake }) => mayTake)) return undefined;
  const reasons = verdicts.map(({ cluster, reason }) => `${cluster} ${reason}`);
  return { message: [unroutable(item.requirements, verdicts), ...reasons].join(". "), since: item.enqueuedAt };
}

async function pending(sql: Sql, item: QueuedItem): Promise<Explanation> {
  const { requirements, retryInMs } = item;
  if (!requirements) return { summary: "it waits, and what it asks for is not recorded any more", clusters: [] };
  const [rows, held] = [await readClusters(sql), await countHeld(sql)];
  const verdicts = route(requirements, rows.map(routable)).map((verdict): Verdict => {
    const row = rows.find(({ name }) => name === verdict.cluster);
    return verdict.mayTake && row ? { ...verdict, reason: roomText(row, held.get(row.name), item) } : verdict;
  });
  const takers = verdicts.filter(({ mayTake }) => mayTake);
  const names = takers.map(({ cluster }) => cluster).join(", ");
  const summary = () => {
    if (takers.length === 0) return unroutable(requirements, verdicts);
    if (retryInMs !== null && retryInMs > 0) return `attempt ${item.attempt} begins in ${seconds(retryInMs)}`;
    const free = takers.some(({ cluster }) => {
      const row = rows.find(({ name }) => name === cluster);
      return item.slots === 0 || (row && (held.get(cluster)?.slotsUsed ?? 0) < row.slots);
    });
    return free ? `it goes to the next executor that asks, of ${names}` : `it waits for a free slot on ${names}`;
  };
  return { summary: summary(), clusters: verdicts };
}

function unroutable(asked: Requirements, verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return "no cluster is registered, so nothing can run: start an executor";
  return `no cluster may take this ${asked.taskType} action`;
}

function roomText(row: ClusterRow, counts: ClusterCounts | undefined, { slots }: QueuedItem): string {
  if (slots === 0) return "the action needs no slot";
  return `${counts?.slotsUsed ?? 0} of ${row.slots} slots in use`;
}

/** The cluster that holds an action, or held it last; "" when none did. */
export async function clusterOfAction(sql: Sql, key: ActionKey): Promise<string> {
  const item = await readItem(sql, key);
  return item?.cluster ?? (await lastCluster(sql, key)) ?? "";
}

/** A live cluster, for what may be anywhere; "" while there is none. */
export async function anyCluster(sql: Sql): Promise<string> {
  const clusters = await readClusters(sql);
  return (clusters.find(({ lostAt, drainedAt }) => !lostAt && !drainedAt) ?? clusters[0])?.name ?? "";
}

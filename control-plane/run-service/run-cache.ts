/** What is the same for all actions of a run, read once: its number, environment variables, labels, cache settings. */
import { fromBinary } from "@bufbuild/protobuf";
import { CacheLookupScope, type RunSpec, RunSpecSchema } from "@flyte-ts/contract/flyteidl2/task/run_pb.ts";
import { CLUSTER_SELECTOR, lru, type Placement } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { findRuns, type RunName, type RunRow, readRuns } from "./store.ts";

export interface KnownRun extends RunName {
  id: bigint;
  spec: RunSpec;
  envs: Record<string, string>;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  rawDataPrefix: string;
  overwriteCache: boolean;
  /** True when cache entries of all projects and domains may be used. */
  globalCache: boolean;
  startTime: Date;
  /** Where its actions shall run, unless they say otherwise. */
  placement: Placement;
  row: RunRow;
}

export interface RunCache {
  byName(sql: Sql, names: readonly RunName[]): Promise<Map<string, KnownRun>>;
  byId(sql: Sql, ids: readonly bigint[]): Promise<Map<bigint, KnownRun>>;
  /** A run that is being created: not remembered before it is committed. */
  describe(row: RunRow): KnownRun;
}

export function runKey(name: RunName): string {
  return `${name.project}/${name.domain}/${name.name}`;
}

export function runCache(): RunCache {
  const names = lru<string, KnownRun>(2000);
  const ids = lru<bigint, KnownRun>(2000);
  function remember(row: RunRow): KnownRun {
    const known = describe(row);
    names.set(runKey(known), known);
    ids.set(known.id, known);
    return known;
  }
  return {
    describe,
    async byName(sql, wanted) {
      const result = new Map<string, KnownRun>();
      const missing = new Map<string, RunName>();
      for (const name of wanted) {
        const found = names.get(runKey(name));
        if (found) result.set(runKey(name), found);
        else missing.set(runKey(name), name);
      }
      if (missing.size > 0) {
        for (const row of await findRuns(sql, [...missing.values()])) result.set(runKey(row), remember(row));
      }
      return result;
    },
    async byId(sql, wanted) {
      const result = new Map<bigint, KnownRun>();
      const missing = new Set<bigint>();
      for (const id of wanted) {
        const found = ids.get(id);
        if (found) result.set(id, found);
        else missing.add(id);
      }
      if (missing.size > 0) for (const row of await readRuns(sql, [...missing])) result.set(row.id, remember(row));
      return result;
    },
  };
}

function describe(row: RunRow): KnownRun {
  const spec = fromBinary(RunSpecSchema, row.runSpec);
  return {
    id: row.id,
    project: row.project,
    domain: row.domain,
    name: row.name,
    spec,
    envs: Object.fromEntries((spec.envs?.values ?? []).map(({ key, value }) => [key, value])),
    labels: spec.labels?.values ?? {},
    annotations: spec.annotations?.values ?? {},
    rawDataPrefix: spec.rawDataStorage?.rawDataPrefix ?? "",
    overwriteCache: spec.overwriteCache || (spec.cacheConfig?.overwriteCache ?? false),
    globalCache: spec.cacheConfig?.cacheLookupScope === CacheLookupScope.GLOBAL,
    startTime: row.startTime,
    placement: {
      queue: spec.queue,
      pool: spec.clusterPool,
      selector: spec.annotations?.values[CLUSTER_SELECTOR] ?? "",
    },
    row,
  };
}

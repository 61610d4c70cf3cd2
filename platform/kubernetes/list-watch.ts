/**
 * A live copy of a set of objects: lists them, then follows their changes for as long as it runs.
 *
 *     const pods = listWatch({ resource, labelSelector: "flyte.org/managed=true", onEvent: ({ object }) => queue.add(…) });
 *     await pods.run(signal);
 *
 * Promise: after every trouble `objects` is again what the API server has, and events tell every difference, though not
 * every state in between. A watch that ends is continued from the last version seen; when that version is too old (410)
 * everything is listed again, and what vanished meanwhile is told as deleted. Managed fields are left out.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isKubernetesError, KubernetesError } from "./errors.ts";
import { type Log, silentLog } from "./log.ts";
import { type CacheEvent, objectCache } from "./object-cache.ts";
import type { KubeObject } from "./objects.ts";
import type { Resource, Selection } from "./resource.ts";
import { backoffMs } from "./retry.ts";
import { watchOnce } from "./watch-stream.ts";

export type ListWatchEvent<T> =
  | CacheEvent<T>
  /** A list has been taken over whole: `objects` was true a moment ago. */
  | { type: "synced" };

export interface ListWatchOptions<T extends KubeObject> extends Omit<Selection, "signal"> {
  resource: Resource<T>;
  /** Called in order, while the stream is read: be quick. A throw is a bug, and ends `run` with it. */
  onEvent?(event: ListWatchEvent<T>): void;
  /** Keeps less of each object. */
  prune?(object: T): T;
  pageSize?: number;
  /** Silence after which a watch is opened anew; bookmarks come about every minute. */
  stallMs?: number;
  /** How long the server is asked to keep a watch open; by default 4 to 8 minutes, so that many watches spread. */
  timeoutSeconds?(): number;
  backoff?: { firstMs: number; maxMs: number };
  random?: () => number;
  log?: Log;
}

/** How often each thing happened, for metrics. */
export interface ListWatchCounts {
  lists: number;
  watches: number;
  events: number;
  /** Versions that were too old. */
  gone: number;
  stalls: number;
  errors: number;
}

export interface ListWatch<T> {
  /** By `namespace/name`; changes as events come. */
  readonly objects: ReadonlyMap<string, T>;
  readonly counts: Readonly<ListWatchCounts>;
  /** When the first list has been taken over; rejects when `run` ends before. */
  whenSynced(): Promise<void>;
  /** Follows until the signal aborts. One run at a time. */
  run(signal: AbortSignal): Promise<void>;
}

const defaultStallMs = 90_000;
const defaultPageSize = 500;
const defaultBackoff = { firstMs: 100, maxMs: 10_000 };
/** A watch that ends before this with nothing seen is a refusal, and counts as one. */
const shortWatchMs = 1_000;
/** Lists whose pages expired half-way, before it is tried in one piece. */
const pagedTries = 2;

/** What a handler threw is no trouble of the network. */
class HandlerError extends Error {}

export function listWatch<T extends KubeObject>(options: ListWatchOptions<T>): ListWatch<T> {
  const { resource, onEvent, log = silentLog, random = Math.random, backoff = defaultBackoff } = options;
  const { namespace, labelSelector, fieldSelector } = options;
  const selection = {
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
  const fields = { resource: resource.definition.plural, ...selection };
  const cache = objectCache<T>();
  const counts: ListWatchCounts = { lists: 0, watches: 0, events: 0, gone: 0, stalls: 0, errors: 0 };
  const firstSync = Promise.withResolvers<void>();
  firstSync.promise.catch(() => {});
  /** This resource has bookmarks. */
  let bookmarks = false;
  /** Where to go on; undefined when everything must be listed. */
  let version: string | undefined;

  function emit(events: readonly ListWatchEvent<T>[]): void {
    for (const event of events) {
      counts.events += event.type === "synced" ? 0 : 1;
      try {
        onEvent?.(event);
      } catch (cause) {
        throw new HandlerError("an event handler threw", { cause });
      }
    }
  }

  function lighter(object: T): T {
    delete (object.metadata as { managedFields?: unknown }).managedFields;
    return options.prune ? options.prune(object) : object;
  }

  async function list(signal: AbortSignal): Promise<void> {
    for (let tries = 1; ; tries++) {
      counts.lists += 1;
      const paged = tries <= pagedTries;
      const relist = cache.relist();
      let next: string | undefined;
      try {
        do {
          const page = await resource.list({
            ...selection,
            signal,
            ...(paged ? { limit: options.pageSize ?? defaultPageSize } : {}),
            ...(next ? { continue: next } : {}),
          });
          for (const item of page.items) emit(relist.put(lighter(item)));
          next = page.metadata.continue;
          version = page.metadata.resourceVersion;
        } while (next);
      } catch (error) {
        version = undefined;
        if (paged && isKubernetesError(error, "Gone")) continue;
        throw error;
      }
      emit(relist.finish());
      emit([{ type: "synced" }]);
      firstSync.resolve();
      return;
    }
  }

  /** True when it went well: worth going on at once. */
  async function watch(from: string, signal: AbortSignal): Promise<boolean> {
    counts.watches += 1;
    const started = performance.now();
    let seen = 0;
    const end = await watchOnce<T>({
      resource,
      watch: {
        ...selection,
        signal,
        resourceVersion: from,
        timeoutSeconds: options.timeoutSeconds?.() ?? Math.round(240 * (1 + random())),
      },
      stallMs: options.stallMs ?? defaultStallMs,
      onEvent(event) {
        seen += 1;
        const now = event.object.metadata.resourceVersion as string;
        if (version !== undefined && isBefore(now, version)) throw wentBack(fields.resource, version, now);
        if (event.type === "BOOKMARK") bookmarks = true;
        if (event.type === "DELETED") emit(cache.remove(lighter(event.object)));
        else if (event.type !== "BOOKMARK") emit(cache.put(lighter(event.object)));
        version = now;
      },
    });
    if (end === "stalled") {
      counts.stalls += 1;
      // Where a resource has no bookmarks (events), silence is usual.
      log[bookmarks ? "warn" : "debug"](fields, "a watch was silent for too long and is opened anew");
    }
    return seen > 0 || performance.now() - started > shortWatchMs;
  }

  /** A store that was put back meanwhile would take our version for one of its future, and be silent until then. */
  async function checkVersion(ours: string, signal: AbortSignal): Promise<void> {
    const { metadata } = await resource.list({ ...selection, signal, limit: 1 });
    if (isBefore(metadata.resourceVersion, ours)) throw wentBack(fields.resource, ours, metadata.resourceVersion);
  }

  async function follow(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (failures > 0 && version !== undefined) await checkVersion(version, signal);
        if (version === undefined) await list(signal);
        const well = await watch(version as unknown as string, signal);
        failures = well ? 0 : failures + 1;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof KubernetesError)) throw error instanceof HandlerError ? error.cause : error;
        if (error.reason === "Gone") {
          counts.gone += 1;
          // Its answer is the next list, at once; only a list that says so again has to wait.
          failures = version === undefined ? failures + 1 : failures;
          version = undefined;
          log.info(fields, "a watch's version is too old; listing again");
        } else {
          counts.errors += 1;
          failures += 1;
          log.warn({ ...fields, failures, err: error }, "a list or watch failed and is tried again");
        }
      }
      if (failures > 0) await pause(backoffMs(failures, backoff, random), signal);
    }
  }

  return {
    objects: cache.objects,
    counts,
    whenSynced: () => firstSync.promise,
    async run(signal) {
      try {
        await follow(signal);
      } finally {
        firstSync.reject(new Error(`the list-watch of ${resource.definition.plural} ended before its first list`));
      }
    },
  };
}

/** Versions are numbers that grow (as Kubernetes 1.35 promises); others than numbers are not compared. */
function isBefore(a: string, b: string): boolean {
  return /^\d+$/.test(a) && /^\d+$/.test(b) && BigInt(a) < BigInt(b);
}

/** The server's store was put back or emptied: our version lies in its future, and would hide everything until then. */
function wentBack(plural: string, from: string, to: string): KubernetesError {
  const said = `the server's version went back from ${from} to ${to}`;
  return new KubernetesError({ verb: "watch", resource: plural, status: 410, reason: "Gone", said });
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}

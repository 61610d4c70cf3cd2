/**
 * Logs of pods, written to the object store: there the data proxy of any control plane finds them.
 *
 *     const logs = podLogs({ client, objectStore, log });
 *     podPlugin({ …, logs });
 *
 * Promise: lines of all containers, each once, in the order of their times, seen soon after they were written and kept
 * when the pod is gone; also when the executor was killed meanwhile. What could not be had is said in the log itself.
 * Memory is bounded for each attempt and for all of them; a log that nobody can read (a fake node, a node that is lost)
 * costs a call now and then, and one warning a minute for all.
 */
import { type Clock, systemClock } from "@flyte-ts/core";
import { isKubernetesError, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { type ObjectStore, StoreUnavailableError } from "@flyte-ts/platform/object-store";
import type { Log } from "../../executor/index.ts";
import { logReaders, logWriter, storedUri } from "../../logs/index.ts";
import { type AttemptLog, attemptLog } from "./attempt-log.ts";
import type { LogSource, ReadTimes } from "./container-follower.ts";
import type { Pod } from "./objects.ts";
import type { PodLogs } from "./pods.ts";
import { isPassing } from "./refusal.ts";

export interface PodLogsOptions {
  client: KubernetesClient;
  objectStore: Pick<ObjectStore, "root" | "put" | "stream" | "list" | "delete" | "head">;
  log: Log;
  clock?: Clock;
  /** Connections that stay open; logs of more containers are asked for now and then. */
  maxStreams?: number;
  /** Most bytes that are kept of one attempt's log. */
  maxBytes?: number;
  times?: Partial<ReadTimes & { goneMs: number }>;
}

const defaultTimes: ReadTimes & { goneMs: number } = {
  patienceMs: 5_000,
  silentMs: 300_000,
  againMs: 1_000,
  pollMs: 10_000,
  retryMs: 1_000,
  maxRetryMs: 300_000,
  goneMs: 1_500,
};
const MAX_STREAMS = 1_000;
const MAX_BYTES = 4 * 1024 ** 3;
/** Held for all attempts together (twice at worst), and for one of them. */
const HELD_BYTES = 32 * 1024 * 1024;
const MIN_HELD_BYTES = 16 * 1024;
const MAX_HELD_BYTES = 1024 * 1024;
const AT_ONCE = 2;
const WARN_MS = 60_000;

export function podLogs(options: PodLogsOptions): Required<PodLogs> {
  const { client, objectStore, log } = options;
  const clock = options.clock ?? systemClock;
  const pods = client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
  const attempts = new Map<string, AttemptLog>();
  const readers = logReaders({ objectStore, log });
  const trouble = troubleLog(log);
  const later = someAtOnce(AT_ONCE);
  let free = options.maxStreams ?? MAX_STREAMS;
  let stopped = false;
  const slots = {
    take: () => free > 0 && free-- > 0,
    free: () => void free++,
  };

  function attempt(attemptUri: string): AttemptLog {
    const known = attempts.get(attemptUri);
    if (known) return known;
    const made = attemptLog({
      attemptUri,
      client,
      slots,
      times: { ...defaultTimes, ...options.times },
      maxBytes: options.maxBytes ?? MAX_BYTES,
      clock,
      log,
      open: (note) =>
        logWriter({
          attemptUri,
          objectStore,
          log,
          note,
          isRead: () => readers.isRead(attemptUri),
          limit: () => Math.min(MAX_HELD_BYTES, Math.max(MIN_HELD_BYTES, HELD_BYTES / attempts.size)),
          later,
        }),
      onTrouble: (source, error) => trouble(attemptUri, source, error),
      async get({ namespace, name }) {
        try {
          return await pods.get(name, { namespace });
        } catch (error) {
          if (isKubernetesError(error, "NotFound")) return undefined;
          throw error;
        }
      },
      isStored: async () => (await objectStore.head(storedUri(attemptUri))) !== undefined,
    });
    attempts.set(attemptUri, made);
    return made;
  }

  return {
    async follow(attemptUri, pod, label) {
      if (!stopped) attempt(attemptUri).see(pod, label);
    },
    async finish(attemptUri) {
      const one = attempt(attemptUri);
      try {
        await one.finish();
      } catch (error) {
        // The caller comes again.
        if (isPassing(error) || error instanceof StoreUnavailableError) throw error;
        attempts.delete(attemptUri);
        await one.stop();
        throw error;
      }
      attempts.delete(attemptUri);
    },
    async run(signal) {
      const arrived = () => {
        for (const [attemptUri, one] of attempts) if (readers.isRead(attemptUri)) one.hurry();
      };
      await readers.run({ anybody: () => attempts.size > 0, arrived }, signal);
      stopped = true;
      await Promise.all([...attempts.values()].map((one) => one.stop()));
      attempts.clear();
    },
  };
}

/** Whatever fails for how many: a warning at once, then one a minute with their number. */
function troubleLog(log: Log): (attemptUri: string, source: LogSource, error: unknown) => void {
  let warnedMs = Number.NEGATIVE_INFINITY;
  let others = 0;
  return (attemptUri, { pod, container, failures }, error) => {
    if (performance.now() - warnedMs < WARN_MS) {
      others += 1;
      return;
    }
    warnedMs = performance.now();
    log.warn(
      { attemptUri, pod: pod.name, namespace: pod.namespace, container, failures, err: error, others },
      "the log of a container cannot be read and will be tried again",
    );
    others = 0;
  };
}

function someAtOnce(most: number): (work: () => Promise<void>) => void {
  const waiting: (() => Promise<void>)[] = [];
  let running = 0;
  function next(): void {
    const work = running < most ? waiting.shift() : undefined;
    if (!work) return;
    running += 1;
    void work().finally(() => {
      running -= 1;
      next();
    });
  }
  return (work) => {
    waiting.push(work);
    next();
  };
}

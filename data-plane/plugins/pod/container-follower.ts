/**
 * Follows the log of one container, over broken connections and lives of the container.
 *
 * Promise: each line is taken once. One connection while it is followed; one short call now and then when all
 * connections are in use; what cannot be read is asked for seldomer and seldomer.
 */
import { isKubernetesError, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { pause } from "../../executor/index.ts";
import { type ContainerLines, containerLog } from "./container-log.ts";
import type { LogMark } from "./log-lines.ts";
import type { PodAddress } from "./pods.ts";

/** One container of an attempt. */
export interface LogSource {
  readonly key: string;
  readonly pod: PodAddress;
  readonly container: string;
  /** Stands before its lines; empty for the task's own. */
  readonly prefix: string;
  /** How often it was restarted. */
  life: number;
  /** This life is over. */
  ended: boolean;
  /** What was taken last, and of which life. */
  mark?: { life: number; at?: LogMark } | undefined;
  /** The last reading came to an end without trouble. */
  clean: boolean;
  /** This life was read after its end. */
  complete: boolean;
  failures: number;
}

/** Connections that stay open. */
export interface Slots {
  take(): boolean;
  free(): void;
}

export interface ReadTimes {
  patienceMs: number;
  silentMs: number;
  /** After a log ended whose container is not known to have, growing. */
  againMs: number;
  /** Between readings while no connection is free. */
  pollMs: number;
  /** After trouble, doubling up to the other. */
  retryMs: number;
  maxRetryMs: number;
}

export interface Reading {
  client: Pick<KubernetesClient, "stream">;
  times: ReadTimes;
  /** Takes lines, or what is known of lines that cannot be had. */
  take(source: LogSource, batch: ContainerLines): Promise<void>;
  missing(source: LogSource, why: string): void;
}

const MAX_AGAIN = 10;

export async function followContainer(
  source: LogSource,
  reading: Reading & { slots: Slots; onTrouble(source: LogSource, error: unknown): void },
  signal: AbortSignal,
): Promise<void> {
  const { times, slots } = reading;
  let again = 0;
  while (!signal.aborted) {
    const slot = slots.take();
    const before = source.mark?.at;
    let waitMs: number;
    try {
      const { ended, life } = source;
      if (needsCatchUp(source) || !slot) await takeAll(restOf(source, reading, signal), reading, source);
      if (slot && !source.complete) await takeAll(read(source, reading, signal, true), reading, source);
      if (signal.aborted) return;
      source.failures = 0;
      source.clean = true;
      if (ended && source.life === life) {
        source.complete = true;
        return;
      }
      again = source.mark?.at === before ? Math.min(again + 1, MAX_AGAIN) : 1;
      waitMs = slot ? times.againMs * again : times.pollMs;
    } catch (error) {
      if (signal.aborted || isPodGone(error)) return;
      source.clean = false;
      source.failures += 1;
      reading.onTrouble(source, error);
      waitMs = Math.min(times.maxRetryMs, times.retryMs * 2 ** (source.failures - 1)) * (0.5 + Math.random() / 2);
    } finally {
      if (slot) slots.free();
    }
    await pause(waitMs, signal);
  }
}

/** What is left of earlier lives, then of this one as it is now. Throws as `containerLog` does. */
export async function* restOf(
  source: LogSource,
  reading: Reading,
  signal: AbortSignal,
): AsyncGenerator<ContainerLines> {
  const { life, ended } = source;
  const mark = source.mark ?? { life: Math.max(0, life - 1) };
  if (mark.life < life) {
    // A kubelet keeps the life before this one.
    if (mark.life < life - 1)
      reading.missing(source, `container ${source.container} was restarted too often to follow`);
    else yield* previous();
    source.mark = { life };
  }
  yield* read(source, reading, signal, false);
  if (ended && source.life === life) source.complete = true;

  async function* previous(): AsyncGenerator<ContainerLines> {
    const from = mark.at;
    try {
      const { client, times } = reading;
      const { pod, container } = source;
      const way = { client, pod, container, from, signal, patienceMs: times.patienceMs, silentMs: times.silentMs };
      for await (const batch of containerLog({ ...way, previous: true, follow: false, whole: true })) {
        source.mark = { life: life - 1, ...(source.mark?.at ? { at: source.mark.at } : {}) };
        yield batch;
      }
    } catch (error) {
      if (!isKubernetesError(error, "BadRequest")) throw error;
      reading.missing(source, `what container ${source.container} wrote before its restart is not kept any more`);
    }
  }
}

async function* read(
  source: LogSource,
  { client, times }: Reading,
  signal: AbortSignal,
  follow: boolean,
): AsyncGenerator<ContainerLines> {
  const { pod, container, life, ended } = source;
  source.mark ??= { life };
  const from = source.mark.at;
  const { patienceMs, silentMs } = times;
  yield* containerLog({ client, pod, container, from, follow, whole: ended, signal, patienceMs, silentMs });
}

async function takeAll(batches: AsyncIterable<ContainerLines>, reading: Reading, source: LogSource): Promise<void> {
  for await (const batch of batches) {
    source.failures = 0;
    await reading.take(source, batch);
  }
}

/** There is something between what was taken and what comes: a reading that ends by itself finds out what. */
function needsCatchUp({ mark, life }: LogSource): boolean {
  return mark ? mark.at !== undefined || mark.life < life : life > 0;
}

/** A kubelet that does not know the pod yet has other words. */
export function isPodGone(error: unknown): boolean {
  return isKubernetesError(error, "NotFound") && /^pods "/.test(error.said);
}

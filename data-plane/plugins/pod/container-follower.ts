/**
 * Follows the log of one container, over broken connections and lives of the container.
 *
 * Promise: each line is taken once. One connection while it is followed; one short call now and then when all
 * connections are in use; what cannot be read is asked for seldomer and seldomer.
 */
import { isKubernetesError, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { pause } from "../../executor/index.ts";
import { type ContainerLines, containerLog, NoContainerLogError } from "./container-log.ts";
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
  /** What was taken last, of whichever life. */
  mark?: LogMark | undefined;
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
  /** Takes lines. Marks the source. */
  take(source: LogSource, batch: ContainerLines): Promise<void>;
  /** Takes what is known of lines that cannot be had. */
  missing(why: string): void;
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
    const before = source.mark;
    let waitMs: number;
    try {
      const { ended, life } = source;
      // A reading that ends by itself finds out what is between what was taken and what comes.
      if (source.mark || life > 0 || !slot) await takeAll(restOf(source, reading, signal), reading, source);
      if (slot && !source.complete) await takeAll(read(source, reading, signal, true), reading, source);
      if (signal.aborted) return;
      source.failures = 0;
      source.clean = true;
      if (source.ended && source.life === life) {
        // One that ended while it was read may have written more; whoever finishes it looks.
        source.complete = ended;
        return;
      }
      again = source.mark === before ? Math.min(again + 1, MAX_AGAIN) : 1;
      waitMs = slot ? times.againMs * again : times.pollMs;
    } catch (error) {
      if (signal.aborted || isPodGone(error) || isLogGone(source, error)) return;
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

/** What was not taken yet, as far as it goes now. Throws as `containerLog` does. */
export async function* restOf(
  source: LogSource,
  reading: Reading,
  signal: AbortSignal,
): AsyncGenerator<ContainerLines> {
  const { life, ended, container } = source;
  if (life > 1 && !source.mark)
    reading.missing(`what container ${container} wrote before its last restart is not kept`);
  if (life > 0 && !source.mark) yield* previous(source, reading, signal);
  yield* read(source, reading, signal, false);
  if (ended && source.life === life) source.complete = true;
}

async function* read(
  source: LogSource,
  reading: Reading,
  signal: AbortSignal,
  follow: boolean,
): AsyncGenerator<ContainerLines> {
  const whole = source.ended;
  for await (const batch of containerLog({ ...wayOf(source, reading, signal), follow, whole })) {
    if (!batch.gap) {
      yield batch;
      continue;
    }
    // The container may have started again, before anybody told: then what is missing is in the log of its last life.
    let isKept = false;
    for await (const earlier of previous(source, reading, signal)) {
      isKept ||= !earlier.gap || earlier.lines.length > 0;
      if (earlier.lines.length > 0) yield earlier;
    }
    if (batch.lines.length > 0) yield { ...batch, gap: !isKept };
  }
}

/** What is left of the life before this one, which is all that a kubelet keeps. */
async function* previous(source: LogSource, reading: Reading, signal: AbortSignal): AsyncGenerator<ContainerLines> {
  let any = false;
  try {
    for await (const batch of containerLog({
      ...wayOf(source, reading, signal),
      previous: true,
      follow: false,
      whole: true,
    })) {
      any = true;
      yield batch;
    }
  } catch (error) {
    if (isKubernetesError(error, "BadRequest") || error instanceof NoContainerLogError) return;
    throw error;
  }
  // Nothing new behind the mark, which is there.
  if (!any) yield { lines: [], gap: false };
}

function wayOf({ pod, container, mark }: LogSource, { client, times }: Reading, signal: AbortSignal) {
  return { client, pod, container, from: mark, signal, patienceMs: times.patienceMs, silentMs: times.silentMs };
}

async function takeAll(batches: AsyncIterable<ContainerLines>, reading: Reading, source: LogSource): Promise<void> {
  for await (const batch of batches) {
    source.failures = 0;
    await reading.take(source, batch);
  }
}

/** All was read when the container's log ended by itself; now the kubelet has removed it, as it does with a pod that goes. */
export function isLogGone({ clean }: LogSource, error: unknown): boolean {
  return clean && error instanceof NoContainerLogError;
}

/** A kubelet that does not know the pod yet has other words. */
export function isPodGone(error: unknown): boolean {
  return isKubernetesError(error, "NotFound") && /^pods "/.test(error.said);
}

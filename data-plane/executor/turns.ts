/**
 * One executor at a time for a cluster, without a word between them: the newest works, an earlier one stands by and takes
 * its turn when the newest is not heard of any more.
 *
 *     await inTurns({ link, log }, (signal) => executor(options).run(signal))(signal);
 *
 * Promise: two executors of one cluster never take it from each other again and again. Whoever is superseded dials anew
 * only when the control plane says that nobody speaks for the cluster.
 */
import type { HeartbeatRequest } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ControlLink } from "./control-link.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";

/** Another executor speaks for the cluster now. */
export class SupersededError extends Error {
  readonly cluster: string;
  readonly holder: string;
  /** What this executor is still known by. */
  readonly beat: HeartbeatRequest;
  readonly intervalMs: number;

  constructor(holder: string, beat: HeartbeatRequest, intervalMs: number) {
    super(`another executor took over cluster ${beat.cluster}: ${holder}`);
    this.cluster = beat.cluster;
    this.holder = holder;
    this.beat = beat;
    this.intervalMs = intervalMs;
  }
}

/**
 * Who speaks for the cluster instead of this session, "" for nobody. Undefined when the control plane does not say, or the
 * signal aborts first.
 */
export async function holderOf(
  link: Pick<ControlLink, "heartbeat">,
  beat: HeartbeatRequest,
  signal: AbortSignal,
): Promise<string | undefined> {
  const answer = link.heartbeat(beat).then(
    ({ holder }) => holder,
    () => undefined,
  );
  const stopped = Promise.withResolvers<undefined>();
  const stop = () => stopped.resolve(undefined);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([answer, stopped.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

export interface TurnsOptions {
  link: Pick<ControlLink, "heartbeat">;
  log: Log;
}

type Run = (signal: AbortSignal) => Promise<void>;

export function inTurns({ link, log }: TurnsOptions, run: Run): Run {
  /** Until nobody speaks for the cluster, or the signal aborts. */
  async function standBy({ beat, intervalMs }: SupersededError, signal: AbortSignal): Promise<void> {
    for (;;) {
      await pause(intervalMs, signal);
      if (signal.aborted || (await holderOf(link, beat, signal)) === "") return;
    }
  }

  return async (signal) => {
    while (!signal.aborted) {
      try {
        return await run(signal);
      } catch (error) {
        if (!(error instanceof SupersededError)) throw error;
        const { cluster, holder } = error;
        log.error(
          { cluster, holder },
          "another executor took over this cluster, so this one stands by until that one is gone; stop one of them, or let them elect a leader",
        );
        await standBy(error, signal);
        if (!signal.aborted)
          log.warn({ cluster, holder }, "the other executor is not heard of any more; this one takes over");
      }
    }
  };
}

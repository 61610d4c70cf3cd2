/**
 * Keeps the leases of one connection: tells the control plane at its interval that this executor lives.
 *
 * Promise: resolves true when the connection is of no use any more (another executor took over, or the control plane
 * does not answer several times in a row), false when the signal aborts. Never throws.
 */
import type { HeartbeatRequest } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ControlLink } from "./control-link.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";

export interface HeartbeatsOptions {
  link: Pick<ControlLink, "heartbeat">;
  /** Of the connection's session. */
  beat: HeartbeatRequest;
  intervalMs: number;
  log: Log;
}

/** Unanswered calls in a row after which it is better to dial again. */
const PATIENCE = 3;

export async function heartbeats(options: HeartbeatsOptions, signal: AbortSignal): Promise<boolean> {
  const { link, beat, intervalMs, log } = options;
  const { cluster, session } = beat;
  for (let failures = 0; ; ) {
    await pause(intervalMs, signal);
    if (signal.aborted) return false;
    try {
      const { current } = await link.heartbeat(beat);
      failures = 0;
      if (current || signal.aborted) continue;
      log.warn({ cluster, session }, "the control plane gave this connection up");
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      failures += 1;
      log.warn({ cluster, err: error, failures }, "a heartbeat was not answered");
      if (failures >= PATIENCE) return true;
    }
  }
}

/**
 * Keeps the leases of one connection: tells the control plane at its interval that this executor lives.
 *
 * Promise: resolves true when the connection is of no use any more (another executor took over, or the control plane
 * does not answer several times in a row), false when the signal aborts. Never throws.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ConnectRequest,
  HeartbeatRequestSchema,
  type Registration,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toMs } from "@flyte-ts/core";
import type { ControlLink } from "./control-link.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";

export interface HeartbeatsOptions {
  link: Pick<ControlLink, "heartbeat">;
  registration: Registration;
  request: ConnectRequest;
  log: Log;
}

/** Unanswered calls in a row after which it is better to dial again. */
const PATIENCE = 3;

export async function heartbeats(options: HeartbeatsOptions, signal: AbortSignal): Promise<boolean> {
  const { link, registration, request, log } = options;
  const { cluster, executor } = request;
  const intervalMs = Math.max(toMs(registration.heartbeatInterval), 100);
  for (let failures = 0; ; ) {
    await pause(intervalMs, signal);
    if (signal.aborted) return false;
    try {
      const beat = create(HeartbeatRequestSchema, { cluster, executor, session: registration.session });
      const { current } = await link.heartbeat(beat);
      failures = 0;
      if (current || signal.aborted) continue;
      log.warn({ cluster, session: registration.session }, "the control plane gave this connection up");
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      failures += 1;
      log.warn({ cluster, err: error, failures }, "a heartbeat was not answered");
      if (failures >= PATIENCE) return true;
    }
  }
}

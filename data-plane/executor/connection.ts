/**
 * The executor's standing connection: dials, takes what comes, keeps the leases by heartbeats, and dials again whenever
 * the connection ends, for whatever reason, until the signal aborts. Throws a `SupersededError` when another executor
 * speaks for the cluster: to dial again would take the cluster from that one.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ConnectRequest,
  type HeartbeatRequest,
  HeartbeatRequestSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { AppError, toMs } from "@flyte-ts/core";
import type { ControlLink } from "./control-link.ts";
import { heartbeats } from "./heartbeats.ts";
import type { Intake } from "./intake.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";
import { holderOf, SupersededError } from "./turns.ts";

export interface ConnectionOptions {
  link: ControlLink;
  incoming: Pick<Intake, "begin" | "take">;
  /** Asked for at each dial. */
  request(signal: AbortSignal): Promise<ConnectRequest>;
  log: Log;
  backoff: { firstMs: number; maxMs: number };
}

export interface Connection {
  run(signal: AbortSignal): Promise<void>;
  /** What the request says has changed: connects anew, at once. */
  again(): void;
}

/** What came of one connection. */
type Outcome = "synced" | "failed" | "refused";

/** A refused executor needs somebody to act, so it asks with longer and longer pauses, up to this many usual ones. */
const REFUSED_PAUSES = 12;

export function connection(options: ConnectionOptions): Connection {
  const { link, incoming, log, backoff } = options;
  /** Of the connection there is, or of the pause before the next one. */
  let current = new AbortController();
  /** The session of the last connection that there was. */
  let last: { beat: HeartbeatRequest; intervalMs: number } | undefined;

  /** One connection from its first message to its end. */
  async function once(request: ConnectRequest, signal: AbortSignal): Promise<Outcome> {
    const { cluster, executor } = request;
    const ended = new AbortController();
    const changed = current.signal;
    const alive = AbortSignal.any([signal, changed, ended.signal]);
    let outcome: Outcome = "failed";
    try {
      for await (const response of link.connect(request, alive)) {
        if (signal.aborted) return outcome;
        const { registration } = response;
        if (registration) {
          const beat = create(HeartbeatRequestSchema, { cluster, executor, session: registration.session });
          last = { beat, intervalMs: Math.max(toMs(registration.heartbeatInterval), 100) };
          void heartbeats({ link, log, ...last }, alive).then((lost) => lost && ended.abort());
        }
        incoming.take(response);
        if (!response.synced) continue;
        outcome = "synced";
        log.info({ cluster }, "connected to the control plane");
      }
      if (!signal.aborted && !changed.aborted) log.warn({ cluster }, "the control plane ended the connection");
    } catch (error) {
      if (signal.aborted || changed.aborted) return outcome;
      if (error instanceof AppError && error.kind === "failed_precondition") {
        log.error({ cluster, reason: error.message }, "the control plane refuses this executor, which will ask again");
        return "refused";
      }
      if (error instanceof AppError && error.kind === "aborted") {
        log.warn({ cluster, reason: error.message }, "the control plane ended the connection");
      } else {
        log.warn({ cluster, err: error }, "the control plane cannot be reached");
      }
    } finally {
      ended.abort();
    }
    return outcome;
  }

  /** Throws when the cluster is another executor's now. A control plane that does not say is dialled. */
  async function leaveToHolder(signal: AbortSignal): Promise<void> {
    if (!last) return;
    const { beat, intervalMs } = last;
    const holder = await holderOf(link, beat, signal);
    if (holder && !signal.aborted) throw new SupersededError(holder, beat, intervalMs);
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      let outcome: Outcome = "failed";
      current = new AbortController();
      await leaveToHolder(signal);
      try {
        await incoming.begin();
        const request = await options.request(signal);
        if (!signal.aborted) outcome = await once(request, signal);
      } catch (error) {
        log.warn({ err: error }, "what this executor holds cannot be listed, or what it can run cannot be told");
      }
      if (outcome === "synced") failures = 0;
      const longest = backoff.maxMs * (outcome === "refused" ? REFUSED_PAUSES : 1);
      const first = outcome === "refused" ? backoff.maxMs : backoff.firstMs;
      const waiting = AbortSignal.any([signal, current.signal]);
      await pause(Math.min(first * 2 ** failures, longest), waiting);
    }
  }

  return { run, again: () => current.abort() };
}

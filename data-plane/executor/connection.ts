/**
 * The executor's standing connection: dials, takes what comes, keeps the leases by heartbeats, and dials again whenever
 * the connection ends, for whatever reason, until the signal aborts.
 */
import type { ConnectRequest } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ControlLink } from "./control-link.ts";
import { heartbeats } from "./heartbeats.ts";
import type { Intake } from "./intake.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";

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

export function connection(options: ConnectionOptions): Connection {
  const { link, incoming, log, backoff } = options;
  /** Of the connection there is, or of the pause before the next one. */
  let current = new AbortController();

  /** One connection from its first message to its end; true when it got as far as being synced. */
  async function once(request: ConnectRequest, signal: AbortSignal): Promise<boolean> {
    const { cluster } = request;
    const ended = new AbortController();
    const changed = current.signal;
    const alive = AbortSignal.any([signal, changed, ended.signal]);
    let synced = false;
    try {
      for await (const response of link.connect(request, alive)) {
        if (signal.aborted) return synced;
        const { registration } = response;
        if (registration) {
          void heartbeats({ link, registration, request, log }, alive).then((lost) => lost && ended.abort());
        }
        incoming.take(response);
        if (!response.synced) continue;
        synced = true;
        log.info({ cluster }, "connected to the control plane");
      }
      if (!signal.aborted && !changed.aborted) log.warn({ cluster }, "the control plane ended the connection");
    } catch (error) {
      if (!signal.aborted && !changed.aborted) log.warn({ cluster, err: error }, "the control plane cannot be reached");
    } finally {
      ended.abort();
    }
    return synced;
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      let synced = false;
      current = new AbortController();
      try {
        await incoming.begin();
        const request = await options.request(signal);
        if (!signal.aborted) synced = await once(request, signal);
      } catch (error) {
        log.warn({ err: error }, "what this executor holds cannot be listed, or what it can run cannot be told");
      }
      if (synced) failures = 0;
      const waiting = AbortSignal.any([signal, current.signal]);
      await pause(Math.min(backoff.firstMs * 2 ** failures, backoff.maxMs), waiting);
    }
  }

  return { run, again: () => current.abort() };
}

/**
 * The control plane's end of the cluster link. One connection of an executor gets all that its cluster holds, then what
 * admission gives it, then aborts, as they come. Woken by commits of this replica, by notifications of others, by the
 * next delayed retry, and by nothing else while idle.
 *
 * Promise: of one cluster only the newest connection, on whatever replica, is given leases; the others end.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  type HeartbeatRequest,
  type HeartbeatResponse,
  HeartbeatResponseSchema,
  type ObjectStoreAccess,
  type Registration,
  RegistrationSchema,
  type ReportRequest,
  type ReportResponse,
  ReportResponseSchema,
  ReportVerdict,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { aborted, invalidArgument, toDuration } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { RunCache } from "../run-service/run-cache.ts";
import { type ChangeBus, noHint } from "../state-service/bus.ts";
import type { StateWriter } from "../state-service/index.ts";
import type { ConnectedClusters } from "./connected-clusters.ts";
import { type Doorbell, doorbell, type Round } from "./doorbell.ts";
import { type Admission, endingItems, heldItems, type LeasedItem, leaseItems } from "./lease-store.ts";
import { abortOrders, leasedActions } from "./leased-action.ts";
import { readableReport } from "./readable-report.ts";
import { type Sessions, seconds } from "./sessions.ts";
import type { SpecCache } from "./specs.ts";
import { nextTimes } from "./store.ts";
import { toldItems } from "./told-items.ts";

export interface ClusterLink {
  /**
   * A connection within this process lives as long as it is read from; over a network the caller sends heartbeats, and
   * the session is lost without them.
   */
  connect(
    request: ConnectRequest,
    signal: AbortSignal,
    how?: { heartbeats: "by the caller" },
  ): AsyncGenerator<ConnectResponse>;
  /** Where what executors work with is. */
  describe(): { objectStore?: ObjectStoreAccess };
  heartbeat(request: HeartbeatRequest): Promise<HeartbeatResponse>;
  report(request: ReportRequest): Promise<ReportResponse>;
}

export interface ClusterLinkOptions {
  database: Database;
  bus: ChangeBus;
  specs: SpecCache;
  runs: RunCache;
  writer: StateWriter;
  sessions: Sessions;
  /** Where connections are known to those who enqueue. */
  clusters: ConnectedClusters;
  /** Where executors find payloads, unless they know better. */
  objectStore?: ObjectStoreAccess;
  /** Most actions leased by one statement. */
  batch?: number;
  /** How often a connection compares what it was sent with what the cluster holds; 15 s unless told. */
  recheckMs?: number;
  /** Parts of a report that are left out because they cannot be read. */
  onUnreadable?(what: { cluster: string; run: string; action: string; unreadable: string[] }): void;
  /** What peers leave of their share for so long is anybody's; 100 ms unless told. */
  leftoversMs?: number;
}

export function clusterLink(options: ClusterLinkOptions): ClusterLink {
  const { database, bus, writer, sessions, clusters, batch = 256, recheckMs = 15_000, leftoversMs = 100 } = options;
  const { registry } = clusters;
  const describe = () => (options.objectStore ? { objectStore: options.objectStore } : {});

  function registration(session: bigint): Registration {
    return create(RegistrationSchema, {
      session,
      heartbeatInterval: toDuration(sessions.heartbeatMs),
      leaseDuration: toDuration(sessions.leaseMs),
    });
  }

  /** Throws when the session is not the cluster's any more. */
  function requireCurrent({ cluster, session }: Admission): void {
    const now = registry.clusters.find(({ name }) => name === cluster);
    if (now?.session === session) return;
    if (!now) throw aborted(`cluster ${cluster} was forgotten; connect again to register it anew`);
    if (now.lostAt) {
      const limit = seconds(sessions.leaseMs);
      throw aborted(`cluster ${cluster} sent no heartbeat for ${limit}, so its leases were given up; connect again`);
    }
    throw aborted(`another executor took over cluster ${cluster}: ${now.executor || "one without a name"}`);
  }

  /** Leases what the cluster may take, first what no other may. */
  async function lease(
    admission: Admission,
    slots: number,
    bell: Doorbell,
    { leftovers }: Round,
  ): Promise<LeasedItem[]> {
    const leased: LeasedItem[] = [];
    for (const { classes, peers } of registry.groups(admission.cluster)) {
      const wanted = { classes, peers: leftovers ? [] : peers, slots, limit: batch };
      const { items, left } = await leaseItems(database, admission, wanted);
      leased.push(...items);
      // What was leased before may have live children: it took a slot that it does not hold.
      const mayGiveBack = items.some(({ epoch }) => epoch > 1n);
      if (items.length >= batch || mayGiveBack) bell.ring({ ...noHint, work: true });
      else if (left) bell.ringForLeftovers(leftoversMs);
    }
    return leased;
  }

  return {
    describe,
    async *connect(request, signal, how) {
      const { cluster, slots } = request;
      const bell = doorbell(signal, recheckMs);
      const unsubscribe = bus.onQueue(bell.ring);
      const told = toldItems();
      let inbox: LeasedItem[] = [];
      let leave = () => {};
      let beating: NodeJS.Timeout | undefined;
      const end = () => {
        clearInterval(beating);
        leave();
        unsubscribe();
        bell.close();
      };
      // A reader that is gone may never take the message that waits for it: then `finally` is not reached.
      signal.addEventListener("abort", end, { once: true });
      try {
        const admission: Admission = { cluster, session: await sessions.begin(request) };
        if (!how) beating = keepAlive(admission, () => bell.ring({ ...noHint, routes: true }));
        await registry.refresh();
        requireCurrent(admission);
        const held = told.compare(await heldItems(database, cluster));
        yield create(ConnectResponseSchema, {
          registration: registration(admission.session),
          leased: await leasedActions(options, held.leased),
          aborts: await abortOrders(options, held.ending),
          synced: true,
        });
        leave = clusters.add({
          admission,
          load: () => told.size + inbox.length,
          deliver(items) {
            inbox.push(...items);
            bell.ring(noHint);
          },
        });
        while (!signal.aborted) {
          const round = bell.answer();
          const { hint, recheck } = round;
          if (hint.routes) {
            await registry.refresh();
            requireCurrent(admission);
          }
          const items = hint.work || hint.routes ? await lease(admission, slots, bell, round) : [];
          const delivered = inbox;
          inbox = [];
          told.add(items);
          told.add(delivered);
          const ending = hint.endings && !recheck ? told.add(await endingItems(database, cluster)) : [];
          const held = recheck ? told.compare(await heldItems(database, cluster)) : { leased: [], ending };
          const leased = [...delivered, ...items, ...held.leased];
          if (leased.length > 0 || held.ending.length > 0) {
            const aborts = await abortOrders(options, held.ending);
            yield create(ConnectResponseSchema, { leased: await leasedActions(options, leased), aborts });
          }
          if (hint.retries) bell.ringForRetry((await nextTimes(database)).retryInMs);
          await bell.wait(() => inbox.length > 0);
        }
      } finally {
        signal.removeEventListener("abort", end);
        end();
      }
    },
    async heartbeat({ cluster, session }) {
      const current = await sessions.beat({ cluster, session });
      const holder = current ? "" : await sessions.holder({ cluster, session });
      return create(HeartbeatResponseSchema, { current, holder });
    },
    async report({ cluster, reports }) {
      const verdicts = await Promise.all(
        reports.map(async (told) => {
          if (!told.ref) throw invalidArgument("a report names no action");
          const key = { runId: told.ref.runKey, name: told.ref.name };
          const { report, unreadable } = readableReport(told);
          if (unreadable.length > 0)
            options.onUnreadable?.({ cluster, run: told.ref.run, action: key.name, unreadable });
          const result = await writer.submit({ kind: "report", key, cluster, report });
          return result === "stale" || result === "not-found" ? ReportVerdict.STALE : ReportVerdict.ACCEPTED;
        }),
      );
      return create(ReportResponseSchema, { verdicts });
    },
  };

  function keepAlive(admission: Admission, onLost: () => void): NodeJS.Timeout {
    return setInterval(() => {
      // A database that is away is nobody's silence: fencing counts from when it is back.
      sessions.beat(admission).then(
        (current) => current || onLost(),
        () => undefined,
      );
    }, sessions.heartbeatMs);
  }
}

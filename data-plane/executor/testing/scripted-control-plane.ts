/**
 * The other side of the control link, for tests: hands out the leases a test writes, remembers all reports, and can be
 * away, deaf, or of another opinion. Not a control plane: it decides nothing.
 */
import { create, fromBinary } from "@bufbuild/protobuf";
import { ActionPhase } from "@flyte-ts/contract/flyteidl2/common/phase_pb.ts";
import { type ExecutionError, ExecutionErrorSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import {
  type AbortOrder,
  AbortOrderSchema,
  type AttemptReport,
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  type HeartbeatRequest,
  HeartbeatResponseSchema,
  type LeasedAction,
  RegistrationSchema,
  ReportResponseSchema,
  ReportVerdict,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { failedPrecondition } from "@flyte-ts/core";
import { attemptKey } from "../attempt.ts";
import type { ControlLink } from "../control-link.ts";

/** All that was reported of one attempt. */
export interface Told {
  phases: string[];
  outputUri: string;
  error: ExecutionError | undefined;
  released: boolean;
  reports: AttemptReport[];
}

export interface ScriptedControlPlane {
  link: ControlLink;
  /** Leases an attempt; it is sent again on each connection until it is released. */
  lease(action: LeasedAction): void;
  /** Takes a lease away without a word, as if it had gone to another cluster meanwhile. */
  withdraw(key: string): void;
  /** Aborts an attempt; the order, too, is sent again on each connection until the attempt is released. */
  abort(action: LeasedAction, reason?: string): void;
  /** Reports of these attempts are answered STALE. */
  readonly stale: Set<string>;
  /** While true, calls of `report` throw. */
  reportsFail: boolean;
  reportCalls: number;
  readonly requests: ConnectRequest[];
  readonly heartbeats: HeartbeatRequest[];
  /** While true, heartbeats throw. */
  heartbeatsFail: boolean;
  /** Sessions below this one are not current any more. */
  firstCurrentSession: bigint;
  /** Who speaks for the cluster in place of sessions that are not current. */
  holder: string;
  /** While set, connections are refused with it. */
  refusal: string;
  told(key: string): Told;
  /** Ends the current connection. */
  hangUp(): void;
  /** Resolves when the condition holds; it is looked at after each connection, heartbeat and report. */
  until(condition: () => boolean): Promise<void>;
}

const phaseNames = new Map(Object.entries(ActionPhase).map(([name, value]) => [value as number, name]));

export function scriptedControlPlane(): ScriptedControlPlane {
  const held = new Map<string, LeasedAction>();
  const orders = new Map<string, AbortOrder>();
  const told = new Map<string, Told>();
  let streams: { queue: ConnectResponse[]; wake(): void; end(): void }[] = [];
  const conditions = new Set<() => void>();

  const send = (response: ConnectResponse) => {
    for (const stream of streams) {
      stream.queue.push(response);
      stream.wake();
    }
  };
  const toldOf = (key: string): Told => {
    let entry = told.get(key);
    if (!entry) {
      entry = { phases: [], outputUri: "", error: undefined, released: false, reports: [] };
      told.set(key, entry);
    }
    return entry;
  };

  const looked = () =>
    setImmediate(() => {
      for (const condition of conditions) condition();
    });

  const registration = () =>
    create(RegistrationSchema, {
      session: BigInt(plane.requests.length),
      heartbeatInterval: { nanos: 100_000_000 },
      leaseDuration: { seconds: 1n },
    });

  function take(report: AttemptReport): ReportVerdict {
    const key = attemptKey(report.ref, report.attempt);
    if (plane.stale.has(key)) return ReportVerdict.STALE;
    const entry = toldOf(key);
    entry.reports.push(report);
    for (const { phase } of report.transitions) {
      const name = phaseNames.get(phase) ?? String(phase);
      if (!entry.phases.includes(name)) entry.phases.push(name);
      const started = held.get(key);
      if (name === "RUNNING" && started) {
        const at = report.transitions.find((one) => one.phase === phase)?.at;
        if (at) started.startedAt ??= at;
      }
    }
    if (report.outputUri) entry.outputUri = report.outputUri;
    if (report.error.length > 0) entry.error = fromBinary(ExecutionErrorSchema, report.error);
    if (report.released) {
      entry.released = true;
      held.delete(key);
      orders.delete(key);
    }
    return ReportVerdict.ACCEPTED;
  }

  const plane: ScriptedControlPlane = {
    stale: new Set(),
    reportsFail: false,
    reportCalls: 0,
    requests: [],
    heartbeats: [],
    heartbeatsFail: false,
    firstCurrentSession: 0n,
    holder: "",
    refusal: "",
    link: {
      async *connect(request, signal) {
        plane.requests.push(request);
        looked();
        if (plane.refusal) throw failedPrecondition(plane.refusal);
        let wake = () => {};
        let over = false;
        const stream = {
          queue: [
            create(ConnectResponseSchema, {
              leased: [...held.values()],
              aborts: [...orders.values()],
              registration: registration(),
            }),
            create(ConnectResponseSchema, { synced: true }),
          ],
          wake: () => wake(),
          end: () => {
            over = true;
            wake();
          },
        };
        streams.push(stream);
        signal.addEventListener("abort", stream.end, { once: true });
        try {
          for (;;) {
            const next = stream.queue.shift();
            if (next) yield next;
            else if (over) return;
            else await new Promise<void>((resolve) => (wake = resolve));
          }
        } finally {
          signal.removeEventListener("abort", stream.end);
          streams = streams.filter((one) => one !== stream);
        }
      },
      async heartbeat(request) {
        if (plane.heartbeatsFail) throw new Error("the control plane is away (a test asked for it)");
        plane.heartbeats.push(request);
        looked();
        const current = request.session >= plane.firstCurrentSession;
        return create(HeartbeatResponseSchema, { current, holder: current ? "" : plane.holder });
      },
      async report(request) {
        plane.reportCalls += 1;
        // A real call takes at least a turn of the event loop.
        await new Promise((resolve) => setImmediate(resolve));
        if (plane.reportsFail) throw new Error("the control plane is away (a test asked for it)");
        const response = create(ReportResponseSchema, { verdicts: request.reports.map(take) });
        looked();
        return response;
      },
    },
    lease(action) {
      held.set(attemptKey(action.ref, action.attempt), action);
      send(create(ConnectResponseSchema, { leased: [action] }));
    },
    withdraw(key) {
      held.delete(key);
      orders.delete(key);
    },
    abort(action, reason = "a test aborts it") {
      const order = create(AbortOrderSchema, { epoch: action.epoch, attempt: action.attempt, reason });
      if (action.ref) order.ref = action.ref;
      orders.set(attemptKey(action.ref, action.attempt), order);
      send(create(ConnectResponseSchema, { aborts: [order] }));
    },
    told: toldOf,
    hangUp() {
      for (const stream of streams) stream.end();
    },
    until(condition) {
      return new Promise((resolve) => {
        const check = () => {
          if (!condition()) return;
          conditions.delete(check);
          resolve();
        };
        conditions.add(check);
        check();
      });
    },
  };
  return plane;
}

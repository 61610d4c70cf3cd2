/** A cluster whose executor does what the test says: it leases by the link and reports when told. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  ExecutionErrorSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import {
  type AbortOrder,
  AttemptReportSchema,
  type CapacitySchema,
  ConnectRequestSchema,
  type LeasedAction,
  ReportRequestSchema,
  ReportVerdict,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ActionPhase, toTimestamp } from "@flyte-ts/core";
import type { ClusterLink } from "../cluster-link.ts";

export interface ClusterOptions {
  name?: string;
  slots?: number;
  taskTypes?: string[];
  labels?: Record<string, string>;
  queues?: string[];
  uid?: string;
  executor?: string;
  capacity?: Omit<MessageInitShape<typeof CapacitySchema>, "$typeName">;
}

export type Lease = Pick<LeasedAction, "ref" | "epoch" | "attempt">;
export type ReportDetails = Omit<MessageInitShape<typeof AttemptReportSchema>, "$typeName">;
export type Verdict = "accepted" | "stale";

export interface TestCluster {
  readonly session: bigint;
  /** All that was leased to this connection, in order. */
  readonly leases: readonly LeasedAction[];
  readonly orders: readonly AbortOrder[];
  /** The lease of an action's newest attempt, as soon as it comes; of attempt `attempt` when given. */
  leased(run: { name: string }, action: string, attempt?: number): Promise<LeasedAction>;
  ordered(run: { name: string }, action: string): Promise<AbortOrder>;
  report(lease: Lease, phases: readonly ActionPhase[], more?: ReportDetails): Promise<Verdict>;
  start(lease: Lease): Promise<Verdict>;
  /** Succeeded and gone, with outputs at `outputUri`. */
  succeed(lease: Lease, outputUri?: string): Promise<Verdict>;
  fail(lease: Lease, error?: Failure): Promise<Verdict>;
  release(lease: Lease): Promise<Verdict>;
  /** Settles when the connection ends: with why, when it did not leave by itself. */
  readonly ended: Promise<unknown>;
  /** Leaves without a word, as an executor that is killed. */
  close(): Promise<void>;
}

export interface Failure {
  kind?: "user" | "system";
  message?: string;
  recoverable?: boolean;
}

export function failure({ kind = "user", message = "it broke", recoverable = true }: Failure = {}): Uint8Array {
  const error = create(ExecutionErrorSchema, {
    code: "Broken",
    message,
    kind: kind === "user" ? ExecutionError_ErrorKind.USER : ExecutionError_ErrorKind.SYSTEM,
    recoverability: recoverable ? ContainerError_Kind.RECOVERABLE : ContainerError_Kind.NON_RECOVERABLE,
  });
  return toBinary(ExecutionErrorSchema, error);
}

export async function connectCluster(link: ClusterLink, options: ClusterOptions): Promise<TestCluster> {
  const { name = "embedded", slots = 100, taskTypes = ["*"], labels = {}, queues = [], capacity = {} } = options;
  const left = new AbortController();
  const leases: LeasedAction[] = [];
  const orders: AbortOrder[] = [];
  const synced = Promise.withResolvers<void>();
  let waiting: (() => void)[] = [];
  let session = 0n;
  const { executor = "test", uid: clusterUid = "" } = options;
  const facts = { taskTypes, labels, slots, queues, capacity };
  const request = create(ConnectRequestSchema, { cluster: name, executor, clusterUid, ...facts });

  const reading = (async () => {
    for await (const message of link.connect(request, left.signal)) {
      leases.push(...message.leased);
      orders.push(...message.aborts);
      if (message.registration) session = message.registration.session;
      if (message.synced) synced.resolve();
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    }
  })();
  reading.catch((error) => synced.reject(error));

  async function until<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const seen = look();
      if (seen !== undefined) return seen;
      // A connection that failed must fail who waits for it, and not leave it waiting.
      const more = new Promise<void>((resolve) => waiting.push(resolve));
      const over = reading.then(() => Promise.reject(new Error(`the connection of ${name} has ended`)));
      await Promise.race([more, over]);
    }
  }

  async function report(lease: Lease, phases: readonly ActionPhase[], more: ReportDetails = {}): Promise<Verdict> {
    const { ref, epoch, attempt } = lease;
    const one = create(AttemptReportSchema, {
      ...(ref && { ref }),
      epoch,
      attempt,
      transitions: phases.map((phase) => ({ phase, at: toTimestamp(new Date()) })),
      ...more,
    });
    const { verdicts } = await link.report(create(ReportRequestSchema, { cluster: name, reports: [one] }));
    return verdicts[0] === ReportVerdict.ACCEPTED ? "accepted" : "stale";
  }

  const of = (run: { name: string }, action: string) => (one: Lease) =>
    one.ref?.run === run.name && one.ref.name === action;
  await synced.promise;
  return {
    session,
    leases,
    orders,
    leased: (run, action, attempt) =>
      until(() => leases.findLast((one) => of(run, action)(one) && (attempt ?? one.attempt) === one.attempt)),
    ordered: (run, action) => until(() => orders.findLast(of(run, action))),
    report,
    start: (lease) => report(lease, [ActionPhase.INITIALIZING, ActionPhase.RUNNING]),
    succeed: (lease, outputUri = "s3://flyte-data/outputs") =>
      report(lease, [ActionPhase.RUNNING, ActionPhase.SUCCEEDED], { outputUri, released: true }),
    fail: (lease, error) =>
      report(lease, [ActionPhase.RUNNING, ActionPhase.FAILED], { error: failure(error), released: true }),
    release: (lease) => report(lease, [], { released: true }),
    ended: reading.then(
      () => undefined,
      (error: unknown) => error,
    ),
    async close() {
      left.abort();
      await reading.catch(() => {});
    },
  };
}

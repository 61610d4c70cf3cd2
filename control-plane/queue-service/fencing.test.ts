/** Clusters that fall silent: their leases are given up, once, and not when it is we who were away. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ClusterState } from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import {
  ConnectRequestSchema,
  type ConnectResponse,
  type LeasedAction,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { DatabaseUnavailableError } from "@flyte-ts/platform/postgres";
import { failsWith } from "../testing.ts";
import { type Engine, engine, eventually, inconsistencies, queueRows, task } from "./testing.ts";

/** An executor elsewhere that never sends a heartbeat. */
function silent(t: TestContext, it: Engine, name: string, clusterUid = "") {
  const leases: LeasedAction[] = [];
  const left = new AbortController();
  const request = create(ConnectRequestSchema, { cluster: name, clusterUid, taskTypes: ["*"], slots: 100 });
  const stream: AsyncIterable<ConnectResponse> = it.replica.remoteLink.connect(request, { signal: left.signal });
  const ended = (async () => {
    for await (const { leased } of stream) leases.push(...leased);
  })();
  ended.catch(() => {});
  t.after(() => left.abort());
  return { leases, ended };
}

const isLost = (it: Engine, name: string) =>
  eventually(async () => {
    const { cluster } = await it.replica.admin.getCluster({ name }).catch(() => ({ cluster: undefined }));
    return cluster?.state === ClusterState.LOST || undefined;
  });

test("a cluster that is not heard of loses its leases: they are tried again elsewhere, and what it reports is stale", async (t) => {
  const it = await engine(t, { leaseMs: 600, heartbeatMs: 100, systemRetries: 1 });
  const other = await it.another();
  const { play } = it.replica;
  const lost = silent(t, it, "lost");
  const run = await play.run(task("parent"));
  const first = await eventually(() => lost.leases[0]);
  const over = await play.run(task("load"));
  const ending = await eventually(() => lost.leases[1]);
  await it.replica.runs.abortRun({ runId: over, reason: "enough" });
  assert.equal((await queueRows(it.database)).size, 1);
  it.replica.watchClusters();
  other.watchClusters();

  await isLost(it, "lost");
  await assert.rejects(lost.ended, failsWith(Code.Aborted, /cluster lost sent no heartbeat for 0\.6 s/));
  const safe = await it.cluster({ name: "safe" });
  const second = await safe.leased(run, ROOT_ACTION, 2);
  assert.ok(second.epoch > first.epoch);
  const stale = await it.replica.link.report({
    $typeName: "flytets.cluster.v1.ReportRequest",
    cluster: "lost",
    reports: [first, ending].map(({ ref, epoch, attempt }) => ({
      ...emptyReport,
      ...(ref && { ref }),
      epoch,
      attempt,
      transitions: [{ $typeName: "flytets.cluster.v1.PhaseChange" as const, phase: ActionPhase.SUCCEEDED }],
    })),
  });
  assert.deepEqual(stale.verdicts, [2, 2]);
  const [attempt] = (await play.details(run, ROOT_ACTION)).attempts;
  assert.match(
    attempt?.errorInfo?.message ?? "",
    /cluster lost was not heard of for [\d.]+ s, so this attempt was given up/,
  );
  assert.equal(attempt?.cluster, "lost");
  await safe.succeed(second);
  assert.equal(await play.phase(run, ROOT_ACTION), "SUCCEEDED");
  assert.equal((await queueRows(it.database)).size, 0);
  assert.deepEqual(await inconsistencies(it.database), []);
  assert.deepEqual([...it.replica.errors, ...other.errors], []);
});

const emptyReport = {
  $typeName: "flytets.cluster.v1.AttemptReport" as const,
  error: new Uint8Array(),
  outputUri: "",
  attemptUri: "",
  logsAvailable: false,
  logContext: new Uint8Array(),
  logInfo: [],
  clusterEvents: [],
  released: true,
  abortReason: "",
};

test("an action that loses its cluster more often than the system retries fails with the reason", async (t) => {
  const it = await engine(t, { leaseMs: 300, heartbeatMs: 50, systemRetries: 0 });
  const lost = silent(t, it, "lost");
  const run = await it.replica.play.run(task("load"));
  await eventually(() => lost.leases[0]);
  it.replica.watchClusters();
  const details = await eventually(async () => {
    const now = await it.replica.play.details(run, ROOT_ACTION);
    return now.status?.phase === ActionPhase.FAILED ? now : undefined;
  });
  assert.ok(details.result.case === "errorInfo");
  assert.match(details.result.value.message, /cluster lost was not heard of/);
});

test("a cluster that is heard of keeps its leases, and one within this process needs no heartbeats of its own", async (t) => {
  const it = await engine(t, { leaseMs: 400, heartbeatMs: 50 });
  it.replica.watchClusters();
  const here = await it.cluster({ name: "here" });
  const run = await it.replica.play.run(task("load"));
  const lease = await here.leased(run, ROOT_ACTION);
  const lost = silent(t, it, "lost");
  await isLost(it, "lost");
  await assert.rejects(lost.ended);
  assert.equal(await here.succeed(lease), "accepted");
});

test("an outage of the database costs no cluster its leases", async (t) => {
  const it = await engine(t, { leaseMs: 1000, heartbeatMs: 50 });
  let away = true;
  const late = await it.another((database) => ({
    ...database,
    async query(statement) {
      if (away && statement.name === "lost-items") throw new DatabaseUnavailableError("away");
      return database.query(statement);
    },
  }));
  const lost = silent(t, it, "quiet");
  await it.replica.play.run(task("load"));
  await eventually(() => lost.leases[0]);
  late.watchClusters();
  const { rows } = await it.database.query<{ at: Date }>({ text: "select last_heartbeat_at as at from clusters" });
  const silentMs = async () => {
    const now = await it.database.query<{ now: Date }>({ text: "select clock_timestamp() as now" });
    return (now.rows[0]?.now.getTime() ?? 0) - (rows[0]?.at.getTime() ?? 0);
  };
  await eventually(async () => (await silentMs()) > 2000 || undefined);
  const { cluster } = await it.replica.admin.getCluster({ name: "quiet" });
  assert.equal(cluster?.state, ClusterState.LIVE);
  assert.ok(late.errors.length > 0);
  away = false;
  await isLost(it, "quiet");
});

test("a lost cluster's name may go to another cluster, which inherits nothing", async (t) => {
  const it = await engine(t, { leaseMs: 400, heartbeatMs: 50 });
  const lost = silent(t, it, "east", "u1");
  const run = await it.replica.play.run(task("load"));
  const first = await eventually(() => lost.leases[0]);
  // Not live any more, although nobody watches: its last heartbeat is too old.
  const next = await eventually(() => it.cluster({ name: "east", uid: "u2" }).catch(() => undefined));
  const second = await next.leased(run, ROOT_ACTION, 2);
  assert.ok(second.epoch > first.epoch);
  await assert.rejects(lost.ended, /another executor took over|sent no heartbeat/);
});

test("a cluster is forgotten when it is gone for good, with what it held", async (t) => {
  const it = await engine(t, { leaseMs: 400, heartbeatMs: 50 });
  const { admin, play } = it.replica;
  const lost = silent(t, it, "east");
  const run = await play.run(task("load"));
  await eventually(() => lost.leases[0]);
  await assert.rejects(
    admin.forgetCluster({ name: "east" }),
    failsWith(Code.FailedPrecondition, /cluster east is live: .* stop the executor, wait [\d.]+ s, and forget it then/),
  );
  await eventually(() =>
    admin.forgetCluster({ name: "east" }).then(
      () => true,
      () => undefined,
    ),
  );
  await assert.rejects(lost.ended, /was forgotten|sent no heartbeat/);
  await assert.rejects(admin.getCluster({ name: "east" }), failsWith(Code.NotFound, /no cluster east/));
  const next = await it.cluster({ name: "west" });
  await next.leased(run, ROOT_ACTION, 2);
});

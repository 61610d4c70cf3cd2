/** More executors than one for one cluster: who speaks for it, who stands by, and that nobody fights. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ClusterAdminService } from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { phaseName } from "@flyte-ts/core";
import { needsCluster, type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { startExecutor, type TestExecutor } from "../support/executor.ts";
import { nap, placedRun } from "../support/naps.ts";
import { detailsOf, ended } from "../support/runs.ts";
import { setStage } from "../support/stage.ts";
import { waitFor } from "../support/wait.ts";
import { runId } from "../support/wire.ts";

const needs = needsCluster("kwok");
const hour = 3_600_000;

if (!needs.skip) {
  const { server, wire } = await setStage(
    { after },
    { env: { FLYTE_TS_CLUSTERS_LEASE_SECONDS: "8", FLYTE_TS_CLUSTERS_HEARTBEAT_SECONDS: "0.5" } },
  );
  const admin = createClient(ClusterAdminService, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));

  /** Starts executors of one cluster; `elected` of them are one by election. */
  const starter = (cluster: TestCluster, name: string) => (elected: boolean) =>
    startExecutor({ after }, { cluster, name, controlPlane: server.url, config: { leaderElection: elected } });
  const holder = async (name: string) => (await admin.getCluster({ name })).cluster?.executor ?? "";
  const isHolder = async (name: string, { pid }: TestExecutor) => (await holder(name)).endsWith(`-${pid}`);
  const connections = async (executor: TestExecutor) =>
    (await executor.log()).split('"msg":"connected to the control plane"').length - 1;
  const standsBy = (executor: TestExecutor, what: string) =>
    waitFor(async () => (await executor.log()).includes("this one stands by"), { what });

  /** So many heartbeats of whoever speaks for the cluster; who that was each time. */
  const heard = async (name: string, beats: number) => {
    const seen = new Map<string, string>();
    await waitFor(
      async () => {
        const { cluster } = await admin.getCluster({ name });
        seen.set(`${cluster?.lastHeartbeatAt?.seconds}.${cluster?.lastHeartbeatAt?.nanos}`, cluster?.executor ?? "");
        return seen.size >= beats;
      },
      { what: `${beats} heartbeats of ${name}` },
    );
    return new Set(seen.values());
  };

  describe("more executors than one for one cluster", { concurrency: true }, () => {
    test("the newest of two takes over, the other stands by until it is gone, and work goes on with either", async (t) => {
      const start = starter(await testCluster(t, { mode: "kwok" }), "plain");
      const first = await start(false);
      await waitFor(() => isHolder("plain", first), { what: "the first, to connect" });
      const long = await placedRun(wire, nap(hour), { queue: "plain" });
      const attempts = async () =>
        (await detailsOf(wire, long)).attempts.map(({ phase, cluster }) => `${cluster} ${phaseName(phase)}`);
      await waitFor(async () => (await attempts())[0] === "plain RUNNING", { what: "a nap with the first" });

      const second = await start(false);
      await standsBy(first, "the first, to stand by");
      assert.ok(await isHolder("plain", second));
      assert.deepEqual([...(await heard("plain", 6))], [await holder("plain")]);
      assert.ok(await isHolder("plain", second));
      assert.deepEqual([await connections(first), await connections(second)], [1, 1]);
      const told = (await first.log()).split("\n").filter((line) => line.includes("this one stands by"));
      assert.equal(told.length, 1, told.join("\n"));
      assert.ok((JSON.parse(told[0] ?? "{}") as { holder: string }).holder.endsWith(`-${second.pid}`));
      assert.equal(await ended(wire, await placedRun(wire, nap(), { queue: "plain" })), "SUCCEEDED");

      assert.equal(await second.stop(), 0);
      await waitFor(() => isHolder("plain", first), { what: "the first, to take over" });
      // Before the leases were lost: the nap goes on and is ended by who has it now.
      assert.deepEqual(await attempts(), ["plain RUNNING"]);
      await wire.runs.abortRun({ runId: runId(long), reason: "seen enough" });
      assert.equal(await ended(wire, long), "ABORTED");
      await waitFor(async () => (await admin.getCluster({ name: "plain" })).cluster?.ending === 0, {
        what: "its release",
      });
    });

    test("elected ones do not disturb each other, and one beside the election gives way", async (t) => {
      const start = starter(await testCluster(t, { mode: "kwok" }), "elected");
      const first = await start(true);
      await waitFor(() => isHolder("elected", first), { what: "the first, to lead" });
      const second = await start(true);
      assert.deepEqual([...(await heard("elected", 4))], [await holder("elected")]);
      assert.deepEqual([await connections(first), await connections(second)], [1, 0]);

      const stray = await start(false);
      await standsBy(stray, "the stray one, to stand by");
      assert.ok(!(await isHolder("elected", stray)));
      assert.deepEqual([...(await heard("elected", 4))], [await holder("elected")]);

      const [leader, other] = (await isHolder("elected", first)) ? [first, second] : [second, first];
      assert.equal(await leader.stop(), 0);
      await waitFor(() => isHolder("elected", other), { what: "the other of the elected, to lead" });
      assert.equal(await ended(wire, await placedRun(wire, nap(), { queue: "elected" })), "SUCCEEDED");
    });
  });
} else {
  test("more executors than one for one cluster", needs, () => {});
}

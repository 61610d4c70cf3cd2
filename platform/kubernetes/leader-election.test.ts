/** One leader at a time, through losses of the way to the API server, on a real Lease. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { leaderElection } from "./leader-election.ts";
import { relayTo } from "./testing/relay.ts";
import { eventually, needsCluster, testCluster } from "./testing.ts";

const quick = { name: "leader", leaseMs: 1_500, renewDeadlineMs: 900, retryMs: 100 };

/** Runs until the signal aborts, and notes who leads. */
function candidate(leaders: Set<string>, identity: string, log: string[]) {
  return (leading: AbortSignal) =>
    new Promise<void>((resolve) => {
      assert.equal(leaders.size, 0, `${identity} leads beside ${[...leaders]}`);
      leaders.add(identity);
      log.push(identity);
      leading.addEventListener("abort", () => {
        leaders.delete(identity);
        resolve();
      });
    });
}

test(
  "one leads; when it stops, another follows without waiting for the lease to end",
  needsCluster("api"),
  async (t) => {
    const { client, namespace } = await testCluster(t, { mode: "api" });
    const leaders = new Set<string>();
    const log: string[] = [];
    const slow = { name: "leader", leaseMs: 600_000, renewDeadlineMs: 400_000, retryMs: 50 };
    const stops = ["a", "b", "c"].map((identity) => {
      const stop = new AbortController();
      const running = leaderElection({ ...slow, client, namespace, identity }).run(
        stop.signal,
        candidate(leaders, identity, log),
      );
      return {
        identity,
        stop: () => {
          stop.abort();
          return running;
        },
      };
    });
    while (stops.length > 0) {
      const leader = await eventually(() => [...leaders][0]);
      const index = stops.findIndex(({ identity }) => identity === leader);
      await stops.splice(index, 1)[0]?.stop();
    }
    assert.deepEqual([...log].sort(), ["a", "b", "c"]);
  },
);

test("who cannot renew loses the lead before another has it, and stands again", needsCluster("api"), async (t) => {
  const { client, namespace, kubeconfig } = await testCluster(t, { mode: "api" });
  const relay = await relayTo(t, kubeconfig);
  const leaders = new Set<string>();
  const log: string[] = [];
  const stop = new AbortController();
  const first = leaderElection({ ...quick, client: relay.client, namespace, identity: "first" });
  const running = [first.run(stop.signal, candidate(leaders, "first", log))];
  await eventually(() => leaders.has("first"));
  const second = leaderElection({ ...quick, client, namespace, identity: "second" });
  running.push(second.run(stop.signal, candidate(leaders, "second", log)));
  relay.close();
  await eventually(() => leaders.has("second"));
  assert.deepEqual(log, ["first", "second"]);
  relay.open();
  stop.abort();
  await Promise.all(running);
});

test("a leader whose clock is years away keeps the lead: clocks are not compared", needsCluster("api"), async (t) => {
  const { client, namespace } = await testCluster(t, { mode: "api" });
  const leases = client.resource({ group: "coordination.k8s.io", version: "v1", plural: "leases", namespaced: true });
  const spec = (holder: string, renewTime: string) => ({ holderIdentity: holder, leaseDurationSeconds: 1, renewTime });
  const lease = { metadata: { name: "leader", namespace }, spec: spec("old clock", "2001-01-01T00:00:00.000000Z") };
  await leases.create(lease);
  const stop = new AbortController();
  let leads = false;
  const started = performance.now();
  const running = leaderElection({ ...quick, client, namespace, identity: "other" }).run(stop.signal, async () => {
    leads = true;
  });
  // Renewed seven times in 2.1 s, always in the year 2001: never unchanged for its whole second.
  for (let second = 1; second <= 7; second++) {
    await eventually(() => performance.now() - started > second * 300);
    await leases.patch("leader", { spec: spec("old clock", `2001-01-01T00:00:0${second}.000000Z`) } as object, {
      namespace,
    });
    assert.equal(leads, false);
  }
  await eventually(() => leads);
  stop.abort();
  await running;
});

test("what the leader's work throws ends the election, and the lease is free", needsCluster("api"), async (t) => {
  const { client, namespace } = await testCluster(t, { mode: "api" });
  const bug = new Error("a bug");
  const election = leaderElection({ ...quick, client, namespace, identity: "a" });
  await assert.rejects(
    election.run(new AbortController().signal, async () => {
      throw bug;
    }),
    bug,
  );
  const leases = client.resource({ group: "coordination.k8s.io", version: "v1", plural: "leases", namespaced: true });
  const { spec } = (await leases.get("leader", { namespace })) as unknown as { spec: { holderIdentity?: string } };
  assert.equal(spec.holderIdentity ?? "", "");
});

test("times that cannot work are refused", needsCluster("api"), async (t) => {
  const { client } = await testCluster(t, { mode: "api" });
  assert.throws(
    () => leaderElection({ ...quick, client, identity: "a", renewDeadlineMs: 1_500 }),
    /renew deadline < lease/,
  );
});

/** What an executor says of itself while something it needs is away: to probes, and in numbers. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { needsCluster, relayTo, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { startExecutor, type TestExecutor } from "../support/executor.ts";
import { startServer } from "../support/server.ts";
import { waitFor } from "../support/wait.ts";

test(
  "readiness and metrics of an executor say what is away, and its liveness does not",
  needsCluster("api"),
  async (t) => {
    const server = await startServer(t);
    const cluster = await testCluster(t, { mode: "api" });
    const road = await relayTo(t, cluster.kubeconfig);
    const relayed = join(server.dataDir, "..", "relayed.kubeconfig");
    await writeFile(
      relayed,
      (await readFile(cluster.kubeconfig, "utf8")).replace(/^(\s*server:).*$/m, `$1 ${road.client.server}`),
    );
    const of = { name: "kube", controlPlane: server.url };
    const first = await startExecutor(t, { ...of, cluster: { ...cluster, kubeconfig: relayed } });
    await becomes(first, { status: 200, leads: 1, connected: 1, control_plane: 1, kubernetes: 1, object_store: 1 });
    const second = await startExecutor(t, { ...of, cluster });
    await becomes(second, { status: 200, leads: 0, connected: 0, control_plane: 1, kubernetes: 1, object_store: 1 });

    road.close();
    const { cause } = await becomes(first, { status: 503, kubernetes: 0, control_plane: 1 });
    assert.match(cause, /^the Kubernetes API server cannot be reached: /);
    assert.equal((await look(second.health)).kubernetes, 1, "the other one has a way of its own");
    road.open();
    await becomes(first, { status: 200, kubernetes: 1 });

    await server.stop();
    const away = new RegExp(
      `^the control plane at ${of.controlPlane} cannot be reached: .+; the object store cannot be reached: `,
    );
    const told = await becomes(second, { status: 503, connected: 0, control_plane: 0, kubernetes: 1 });
    assert.match(told.cause, away);
    assert.match((await becomes(first, { status: 503, connected: 0, control_plane: 0 })).cause, away);

    // One that begins now waits, and says for what.
    const port = await freePort();
    const third = await startExecutor(t, { ...of, cluster, start: false, args: ["--health-port", String(port)] });
    const started = third.start();
    const health = `http://127.0.0.1:${port}`;
    const early = await becomes({ health }, { status: 503, control_plane: 0, object_store: 0 });
    assert.match(early.cause, /the object store is not known yet: the control plane has to say where it is$/);
    await server.start();
    await started;
    await becomes(third, { status: 200, leads: 0 });
    await becomes(second, { status: 200, control_plane: 1, object_store: 1 });
  },
);

interface Look {
  status: number;
  cause: string;
  [gauge: string]: number | string;
}

async function look(health: string): Promise<Look> {
  assert.equal((await fetch(`${health}/healthz`)).status, 200);
  const ready = await fetch(`${health}/readyz`);
  const { cause = "" } = (await ready.json()) as { cause?: string };
  const text = await (await fetch(`${health}/metrics`)).text();
  const gauges = [...text.matchAll(/^flyte_executor_(?:reaches\{part="(\w+)"\}|(\w+)) (\d)$/gm)];
  return {
    status: ready.status,
    cause,
    ...Object.fromEntries(gauges.map(([, part, name, value]) => [part ?? name, Number(value)])),
  };
}

async function becomes({ health }: Pick<TestExecutor, "health">, wanted: Partial<Look>): Promise<Look> {
  let seen: Look | undefined;
  await waitFor(
    async () => {
      seen = await look(health).catch((error) => {
        if (error instanceof assert.AssertionError) throw error;
        return undefined;
      });
      return Object.entries(wanted).every(([name, value]) => seen?.[name] === value);
    },
    { what: JSON.stringify(wanted), explain: async () => JSON.stringify(seen) },
  );
  return seen as Look;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

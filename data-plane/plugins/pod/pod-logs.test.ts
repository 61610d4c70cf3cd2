/** Logs of real pods, followed by lives of an executor, read elsewhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, needsCluster, relayTo } from "@flyte-ts/platform/kubernetes/testing.ts";
import { silentLog } from "../../executor/log.ts";
import type { LogLine } from "../../logs/index.ts";
import { listParts } from "../../logs/log-parts.ts";
import { storedUri } from "../../logs/stored-log.ts";
import { podLogsCluster, textOf, uriOf } from "./testing/pod-logs-cluster.ts";
import { IMAGE } from "./testing/real-cluster.ts";

const needsNode = needsCluster("node");
/** Prints numbers until it finds the file. */
const counting = (until: string, pause = "0.02") =>
  `i=0; while ! test -e ${until}; do echo line $i; i=$((i+1)); sleep ${pause}; done; echo last`;
/** A count in order, to the last word. */
function assertCounted(lines: readonly LogLine[]): void {
  const own = lines.filter(({ system }) => !system).map(({ message }) => message);
  assert.deepEqual(own, [...own.slice(0, -1).map((_, index) => `line ${index}\n`), "last\n"]);
}

test("all containers, live and after the pod is gone: the same lines, times and order", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  const executor = one.life();
  const script = (words: string) => ["/bin/sh", "-c", words];
  const until = (file: string) => `until test -e ${file}; do sleep 0.05; done`;
  // Kubelets put what comes by one stream into the middle of a long line of the other: so `two` is let through first.
  await one.shell(
    "a",
    `echo one; ${until("/tmp/go")}; echo two >&2; ${until("/tmp/on")}; head -c 200000 /dev/zero | tr '\\0' x; echo; printf '\\377\\000\\r\\n'; printf end`,
    {
      initContainers: [{ name: "prepare", image: IMAGE, command: script("echo preparing; sleep 0.1; echo prepared") }],
      containers: [{ name: "side", image: IMAGE, command: script("sleep 0.3; echo beside; sleep 0.3") }],
    },
  );
  const seen: string[] = [];
  const live = one.read("a", ({ message }) => seen.push(message));
  await eventually(() => seen.includes("[side] beside\n") && seen.includes("one\n"));
  const touch = (file: string) => one.kubectl("exec", "a", "--container", "main", "--", "touch", file);
  await touch("/tmp/go");
  await eventually(() => seen.includes("two\n"));
  await touch("/tmp/on");
  await executor.quiet("a");
  await executor.finish("a");
  const lines = await live;
  const parts = lines.map(({ message }) => (message.startsWith("xxx") ? "x" : message));
  assert.deepEqual(
    parts.filter((part, index) => part !== "x" || parts[index - 1] !== "x"),
    [
      "[prepare] preparing\n",
      "[prepare] prepared\n",
      "one\n",
      "[side] beside\n",
      "two\n",
      "x",
      "\ufffd\u0000\n",
      "end",
    ],
  );
  assert.equal(
    lines
      .filter(({ message }) => message.startsWith("x"))
      .map(({ message }) => message)
      .join("").length,
    200_001,
  );
  const times = lines.map(({ timestamp }) => timestamp.getTime());
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  await one.remove("a", 0);
  assert.deepEqual(await one.read("a"), lines);
  assert.deepEqual(await listParts(one.objects, uriOf("a")), []);
});

test("a pod that is over when it is seen: one object, its containers in the order of time", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  await one.shell("a", "echo 1; sleep 0.4; echo 3", {
    containers: [{ name: "side", image: IMAGE, command: ["/bin/sh", "-c", "sleep 0.2; echo 2; sleep 0.4; echo 4"] }],
  });
  await one.shell("mute", "true");
  await one.shell("never", "true", { containers: [{ name: "no", image: "localhost/absent:1" }] });
  const pod = (name: string) => one.pods.get(name, { namespace: one.namespace });
  await eventually(async () => (await pod("a")).status?.phase === "Succeeded");
  await eventually(async () => (await pod("mute")).status?.phase === "Succeeded");
  const executor = one.life();
  for (const name of ["a", "mute"]) {
    await executor.quiet(name);
    await executor.finish(name);
  }
  const text = textOf(await one.read("a"));
  assert.deepEqual(
    text
      .split("\n")
      .map((line) => line.replace("[side] ", ""))
      .filter(Boolean).length,
    4,
  );
  assert.match(text, /1\n/);
  assert.deepEqual(await one.read("mute"), []);
  // Once more, as after a crash before anybody heard of it.
  await executor.finish("a");
  assert.equal(textOf(await one.read("a")), text);
});

test("executors killed and ended in the middle of a log: every line once", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  let executor = one.life();
  await one.shell("a", counting("/tmp/stop"));
  let count = 0;
  const live = one.read("a", () => {
    count += 1;
  });
  for (const end of ["kill", "end", "kill"] as const) {
    const before = count;
    await eventually(() => count > before + 20);
    await executor[end]();
    executor = one.life();
  }
  const before = count;
  await eventually(() => count > before + 20);
  await one.kubectl("exec", "a", "--", "touch", "/tmp/stop");
  await executor.quiet("a");
  await executor.kill();
  // The last one finds it over.
  executor = one.life();
  await executor.quiet("a");
  await executor.finish("a");
  assertCounted(await live);
  assertCounted(await one.read("a"));
});

test("connections that break, and an API server that is away for a while: every line once", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  const relay = await relayTo(t, one.kubeconfig);
  const executor = one.life({ client: relay.client, times: { retryMs: 50, againMs: 50, maxRetryMs: 200 } });
  await one.shell("a", counting("/tmp/stop", "0.005"));
  let count = 0;
  const live = one.read("a", () => {
    count += 1;
  });
  for (let cut = 0; cut < 8; cut += 1) {
    const before = count;
    await eventually(() => count > before + 20);
    if (cut % 3 === 2) relay.close();
    else relay.cut();
    await new Promise((resolve) => setTimeout(resolve, 100));
    relay.open();
  }
  await one.kubectl("exec", "a", "--", "touch", "/tmp/stop");
  await executor.quiet("a");
  relay.close();
  // Away: not the end of a log that is still there.
  await assert.rejects(executor.finish("a"), /Unreachable/);
  relay.open();
  await executor.finish("a");
  const lines = await live;
  assertCounted(lines);
  assert.equal(
    lines.some(({ system }) => system),
    false,
  );
});

test("a connection that is dead without a word is found out", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  const relay = await relayTo(t, one.kubeconfig);
  one.life({ client: relay.client, times: { silentMs: 500, againMs: 50 } });
  await one.shell("a", counting("/tmp/stop"));
  let count = 0;
  const stop = new AbortController();
  const counted = () => {
    count += 1;
  };
  const live = one.read("a", counted, stop.signal);
  await eventually(() => count > 20);
  relay.freeze();
  const before = count;
  await eventually(() => count > before + 50);
  stop.abort();
  const lines = await live;
  assert.deepEqual(
    lines.map(({ message }) => message),
    lines.map((_, index) => `line ${index}\n`),
  );
});

test("pods that are deleted: their last words are kept, and what is not known is said", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  const executor = one.life();
  await one.shell("polite", "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done");
  const live = one.read("polite");
  await eventually(async () => (await listParts(one.objects, uriOf("polite"))).length > 0);
  await one.remove("polite");
  await one.gone("polite");
  await executor.finish("polite");
  assert.equal(textOf(await live), "hello\nbye\n");

  // Nobody looked while it was there; an earlier life has read its beginning.
  await one.shell("lost", "echo hello; sleep 300");
  await eventually(async () => (await listParts(one.objects, uriOf("lost"))).length > 0);
  await executor.kill();
  await one.remove("lost", 0);
  await one.gone("lost");
  const next = one.life();
  await next.finish("lost");
  const lines = await one.read("lost");
  assert.equal(lines[0]?.message, "hello\n");
  assert.equal(lines[1]?.system, true);
  assert.match(lines[1]?.message ?? "", /the pod was gone before all of its log was read/);
  // Of an attempt that never was there is nothing to say, and what is stored stays.
  await next.finish("never");
  await next.finish("lost");
  assert.equal(await one.objects.head(storedUri(uriOf("never"))), undefined);
  assert.deepEqual(await one.read("lost"), lines);
});

test("a large log goes through in bounded memory, and one too large is cut with a word", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  const executor = one.life({ maxStreams: 0, times: { pollMs: 50 } });
  // With no connection that stays open. (A container runtime may lose what a container writes while it ends.)
  await one.shell("a", "seq 0 59999 | sed 's/^/line /'; echo last; sleep 1");
  await executor.quiet("a");
  await executor.finish("a");
  assertCounted(await one.read("a"));

  const short = one.life({ maxBytes: 100_000 });
  await one.shell("b", "seq 0 99999; sleep 0.2; echo end");
  await short.quiet("b");
  await short.finish("b");
  const lines = await one.read("b");
  assert.match(lines.at(-1)?.message ?? "", /the log ends here/);
  assert.deepEqual(
    lines.slice(0, -1).map(({ message }) => message),
    lines.slice(0, -1).map((_, index) => `${index}\n`),
  );
});

test("a container that starts again: all of its lives", needsNode, async (t) => {
  const one = await podLogsCluster(t);
  const executor = one.life();
  // The first life's log goes as soon as the second life is over.
  const script =
    "n=$(cat /keep/n 2>/dev/null || echo 0); echo $((n+1)) > /keep/n; echo life $n; until test $n = 0 || test -e /keep/go; do sleep 0.05; done; sleep 0.2; echo end of $n; test $n = 1";
  await one.pods.create({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", namespace: one.namespace },
    spec: {
      restartPolicy: "OnFailure",
      volumes: [{ name: "keep", emptyDir: {} }],
      containers: [
        {
          name: "main",
          image: IMAGE,
          command: ["/bin/sh", "-c", script],
          volumeMounts: [{ name: "keep", mountPath: "/keep" }],
        },
      ],
    },
  });
  const seen: string[] = [];
  const live = one.read("a", ({ message }) => seen.push(message));
  await eventually(() => seen.includes("life 1\n"));
  await one.kubectl("exec", "a", "--", "touch", "/keep/go");
  await eventually(() => executor.seen.get("a")?.status?.phase === "Succeeded");
  await executor.finish("a");
  await live;
  assert.equal(textOf(await one.read("a")), "life 0\nend of 0\nlife 1\nend of 1\n");
});

test("nodes that have no logs: few calls, one warning, and the log says why", needsCluster("kwok"), async (t) => {
  const one = await podLogsCluster(t, "kwok");
  const warnings: unknown[] = [];
  let calls = 0;
  const client = {
    ...one.client,
    stream: (request: Parameters<typeof one.client.stream>[0]) => {
      if (request.path.endsWith("/log")) calls += 1;
      return one.client.stream(request);
    },
  };
  const executor = one.life({ client, log: { ...silentLog, warn: (fields) => void warnings.push(fields) } });
  const names = Array.from({ length: 10 }, (_, index) => `p${index}`);
  for (const name of names) {
    await one.pods.create({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: one.namespace, annotations: { "flyte.test/run-for": "3s" } },
      spec: {
        restartPolicy: "Never",
        containers: [{ name: "main", image: IMAGE }],
        nodeSelector: { type: "kwok" },
        tolerations: [{ operator: "Exists" }],
      },
    });
  }
  for (const name of names) {
    await executor.quiet(name);
    await executor.finish(name);
  }
  assert.ok(calls >= names.length && calls <= names.length * 5, `${calls} calls`);
  assert.equal(warnings.length, 1);
  const [line, ...others] = await one.read("p0");
  assert.deepEqual(others, []);
  assert.equal(line?.system, true);
  assert.match(line?.message ?? "", /the log of container main could not be read to its end/);
});

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type Requirements, type RoutableCluster, route, routeClass } from "./routing.ts";
import type { TaskNeeds } from "./task-needs.ts";

const noNeeds: TaskNeeds = { accelerator: "", cpu: 0, memoryBytes: 0, ephemeralStorageBytes: 0, selector: "" };

function asked(
  more: Partial<TaskNeeds & { queue: string; pool: string; on: string; type: string }> = {},
): Requirements {
  const { queue = "", pool = "", on = "", type = "python-task", ...needs } = more;
  return routeClass(type, { ...noNeeds, ...needs }, { queue, pool, selector: on }).requirements;
}

type Parts = Partial<Omit<RoutableCluster, "capacity">> & { capacity?: Partial<RoutableCluster["capacity"]> };

function cluster(name: string, { capacity, ...more }: Parts = {}): RoutableCluster {
  return {
    name,
    state: "live",
    drainReason: "",
    taskTypes: ["*"],
    queues: [],
    labels: {},
    capacity: { cpu: 0, memoryBytes: 0, ephemeralStorageBytes: 0, accelerators: [], ...capacity },
    ...more,
  };
}

function takers(requirements: Requirements, clusters: RoutableCluster[]): string[] {
  return route(requirements, clusters).flatMap(({ cluster: name, mayTake }) => (mayTake ? [name] : []));
}

function reason(requirements: Requirements, clusters: RoutableCluster[], name: string): string {
  return route(requirements, clusters).find((verdict) => verdict.cluster === name)?.reason ?? "";
}

const gib = 2 ** 30;
const cases: [what: string, asks: Requirements, clusters: RoutableCluster[], takes: string[]][] = [
  ["nothing asked: all that are alike", asked(), [cluster("a"), cluster("b")], ["a", "b"]],
  ["a queue goes to those that name it", asked({ queue: "q" }), [cluster("a"), cluster("b", { queues: ["q"] })], ["b"]],
  [
    "also while those are lost",
    asked({ queue: "q" }),
    [cluster("a"), cluster("b", { queues: ["q"], state: "lost" })],
    [],
  ],
  ["a queue that nobody names is anybody's", asked({ queue: "q" }), [cluster("a"), cluster("b")], ["a", "b"]],
  ["unless a cluster has that name", asked({ queue: "b" }), [cluster("a"), cluster("b")], ["b"]],
  ["a pool binds like a queue", asked({ pool: "b" }), [cluster("a"), cluster("b")], ["b"]],
  ["queue and pool bind both", asked({ queue: "q", pool: "b" }), [cluster("a", { queues: ["q"] }), cluster("b")], []],
  ["no queue: who keeps no lanes comes first", asked(), [cluster("a", { queues: ["q"] }), cluster("b")], ["b"]],
  ["who keeps lanes takes it otherwise", asked(), [cluster("a", { queues: ["q"] })], ["a"]],
  ["default can be served by name", asked(), [cluster("a", { queues: ["default"] }), cluster("b")], ["a"]],
  ["a named type beats *", asked(), [cluster("a", { taskTypes: ["python-task"] }), cluster("b")], ["a"]],
  [
    "* takes it when the other drains",
    asked(),
    [cluster("a", { taskTypes: ["python-task"], state: "draining" }), cluster("b")],
    ["b"],
  ],
  [
    "a type that * does not mean",
    asked({ type: "ray" }),
    [cluster("a", { taskTypes: ["*", "!ray"] }), cluster("b")],
    ["b"],
  ],
  ["a type that nobody has", asked({ type: "spark" }), [cluster("a", { taskTypes: ["python-task"] })], []],
  [
    "a queue is more than a type",
    asked({ queue: "q" }),
    [cluster("a", { taskTypes: ["python-task"] }), cluster("b", { queues: ["q"] })],
    ["b"],
  ],
  [
    "a device by its name, before any device",
    asked({ accelerator: "l4" }),
    [
      cluster("a", { capacity: { accelerators: ["*"] } }),
      cluster("b", { capacity: { accelerators: ["l4"] } }),
      cluster("c"),
    ],
    ["b"],
  ],
  [
    "any device",
    asked({ accelerator: "l4" }),
    [cluster("a", { capacity: { accelerators: ["*"] } }), cluster("c")],
    ["a"],
  ],
  [
    "a GPU without a name: who has one",
    asked({ accelerator: "gpu" }),
    [cluster("a", { capacity: { accelerators: ["t4"] } }), cluster("b")],
    ["a"],
  ],
  [
    "what fits",
    asked({ cpu: 4, memoryBytes: 8 * gib }),
    [
      cluster("a", { capacity: { cpu: 2 } }),
      cluster("b", { capacity: { cpu: 4, memoryBytes: 8 * gib } }),
      cluster("c", { capacity: { memoryBytes: 4 * gib } }),
    ],
    ["b"],
  ],
  [
    "labels",
    asked({ on: "region=eu, tier" }),
    [
      cluster("a", { labels: { region: "eu" } }),
      cluster("b", { labels: { region: "eu", tier: "x" } }),
      cluster("c", { labels: { region: "us", tier: "x" } }),
    ],
    ["b"],
  ],
  [
    "labels of the task and of the run",
    asked({ selector: "tier=gpu", on: "region=eu" }),
    [cluster("a", { labels: { region: "eu", tier: "gpu" } }), cluster("b", { labels: { region: "eu" } })],
    ["a"],
  ],
  ["no cluster", asked(), [], []],
];
for (const [what, asks, clusters, takes] of cases) test(what, () => assert.deepEqual(takers(asks, clusters), takes));

test("a reason names what was asked and what the cluster has", () => {
  const lane = [cluster("a"), cluster("b", { queues: ["q", "r"], taskTypes: ["spark", "ray"] })];
  assert.equal(
    reason(asked({ queue: "q" }), lane, "a"),
    "the action is bound to q, which only b serves; it serves no named queue",
  );
  assert.equal(reason(asked({ queue: "q" }), lane, "b"), "takes spark, ray, not python-task");
  const bare = [cluster("a", { taskTypes: ["core-sleep", "*", "!ray"] })];
  assert.equal(
    reason(asked({ type: "ray" }), bare, "a"),
    "lacks what ray tasks need: their operator, or the right to use it",
  );
  const small = [cluster("a", { capacity: { cpu: 2, memoryBytes: 1.5 * gib, accelerators: ["t4"] } })];
  assert.equal(
    reason(asked({ cpu: 4, memoryBytes: 8 * gib, accelerator: "l4" }), small, "a"),
    "has t4, not l4; has at most 2 CPU for one action, which asks for 4; has at most 1.5 GiB of memory for one action, which asks for 8 GiB",
  );
  const labelled = [cluster("a", { labels: { region: "us" } })];
  assert.equal(reason(asked({ on: "region=eu" }), labelled, "a"), "has region=us; the action selects region=eu");
  assert.equal(reason(asked({ on: "tier" }), labelled, "a"), "has no label tier; the action selects tier");
  const away = [cluster("a", { state: "draining", drainReason: "upgrade" }), cluster("b", { state: "lost" })];
  assert.equal(reason(asked(), away, "a"), "is draining: upgrade");
  assert.equal(reason(asked(), away, "b"), "is lost: its executor is not heard of");
  const beaten = [cluster("a"), cluster("b", { taskTypes: ["python-task"] })];
  assert.equal(reason(asked(), beaten, "a"), "could run it, but b names its task type and comes first");
});

test("a class is known by what it asks, in whatever order that is written", () => {
  const one = routeClass("t", { ...noNeeds, cpu: 1 }, { queue: "", pool: "", selector: "b=2,a=1" });
  const same = routeClass(
    "t",
    { ...noNeeds, cpu: 1, selector: "a=1" },
    { queue: "default", pool: "", selector: "a=1, b=2" },
  );
  assert.equal(one.id, same.id);
  assert.notEqual(one.id, routeClass("t", { ...noNeeds, cpu: 2 }, { queue: "", pool: "", selector: "b=2,a=1" }).id);
  // Stored in rows: a change of the way it is made would orphan what is queued.
  assert.equal(routeClass("python-task", noNeeds, { queue: "", pool: "", selector: "" }).id, 6629726257047025733n);
});

test("the id is a positive 64-bit number, and every verdict but one that may has a reason", () => {
  const name = fc.constantFrom("a", "b", "q");
  const clusters = fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("a", "b", "c", "d"),
      state: fc.constantFrom("live" as const, "draining" as const, "lost" as const),
      taskTypes: fc.subarray(["t", "u", "*"]),
      queues: fc.subarray(["q", "default"]),
      labels: fc.dictionary(name, name),
      capacity: fc.record({ cpu: fc.nat(4), accelerators: fc.subarray(["x", "*"]) }),
    }),
    { selector: (one) => one.name },
  );
  const needs = fc.record({ accelerator: fc.constantFrom("", "x", "gpu"), cpu: fc.nat(4), selector: fc.string() });
  const placement = fc.record({
    queue: fc.constantFrom("", "q", "a"),
    pool: fc.constantFrom("", "b"),
    selector: fc.string(),
  });
  fc.assert(
    fc.property(needs, placement, clusters, (some, placed, rows) => {
      const one = routeClass("t", { ...noNeeds, ...some }, placed);
      assert.ok(one.id > 0n && one.id < 2n ** 63n);
      for (const { mayTake, reason: why, cluster: of } of route(
        one.requirements,
        rows.map((row) => cluster(row.name, row)),
      )) {
        assert.equal(mayTake, why === "");
        if (mayTake) assert.equal(rows.find((row) => row.name === of)?.state, "live");
      }
    }),
  );
});

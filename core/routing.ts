/**
 * Which clusters may take an action. Pure: queue-service asks here when a class of actions or the registry is new.
 *
 * In order: the queue that the action is bound to, its task type, what it needs, the labels it selects. Of the clusters
 * that fit only the best tier takes it; who of those is least loaded is decided when the action is leased.
 */
import { createHash } from "node:crypto";
import { bytesText } from "./quantity.ts";
import type { TaskNeeds } from "./task-needs.ts";

/** What an action asks of its place; actions that ask the same are one class. */
export interface Requirements {
  /** Queues, or names of clusters, that the action is bound to: all of them. Sorted. */
  bindings: readonly string[];
  taskType: string;
  accelerator: string;
  cpu: number;
  memoryBytes: number;
  ephemeralStorageBytes: number;
  /** Labels of the cluster; "*" for a label that must be there with any value. */
  selector: Readonly<Record<string, string>>;
}

export interface RouteClass {
  id: bigint;
  requirements: Requirements;
}

export interface RoutableCluster {
  name: string;
  state: "live" | "draining" | "lost";
  drainReason: string;
  taskTypes: readonly string[];
  queues: readonly string[];
  labels: Readonly<Record<string, string>>;
  /** For one action at most; 0 for not known, not limited. No accelerators means none. */
  capacity: { cpu: number; memoryBytes: number; ephemeralStorageBytes: number; accelerators: readonly string[] };
}

export interface Verdict {
  cluster: string;
  mayTake: boolean;
  /** Why not; "" when it may. */
  reason: string;
}

/** Before a task type in `taskTypes`: the executor knows it, but its cluster cannot run it now, so `*` does not mean it. */
const LACKED = "!";

/** The queue of actions that name none. */
export const DEFAULT_QUEUE = "default";

export interface Placement {
  queue: string;
  pool: string;
  selector: string;
}

/** The class of actions of a task that are placed so. */
export function routeClass(taskType: string, needs: TaskNeeds, placement: Placement): RouteClass {
  const bound = [placement.queue || DEFAULT_QUEUE, placement.pool].filter((name) => name !== "");
  const requirements: Requirements = {
    bindings: [...new Set(bound)].sort(),
    taskType,
    accelerator: needs.accelerator,
    cpu: needs.cpu,
    memoryBytes: needs.memoryBytes,
    ephemeralStorageBytes: needs.ephemeralStorageBytes,
    selector: parseSelector([needs.selector, placement.selector]),
  };
  return { id: idOf(requirements), requirements };
}

/** The same everywhere and for ever, so that no one has to ask for it: 63 bits of a digest, never 0. */
function idOf({ selector, ...rest }: Requirements): bigint {
  const text = JSON.stringify([Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)), Object.entries(selector)]);
  return createHash("sha256").update(text).digest().readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn || 1n;
}

function parseSelector(texts: readonly string[]): Record<string, string> {
  const pairs = texts
    .flatMap((text) => text.split(","))
    .flatMap((part): [string, string][] => {
      const [label = "", ...value] = part.split("=");
      return label.trim() === "" ? [] : [[label.trim(), value.join("=").trim() || "*"]];
    });
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** One verdict a cluster, in their order. */
export function route(requirements: Requirements, clusters: readonly RoutableCluster[]): Verdict[] {
  const bindings = requirements.bindings.map((name) => ({ name, bound: boundTo(name, clusters) }));
  const judged = clusters.map((cluster) => ({
    cluster,
    against: misfits(requirements, bindings, cluster),
    rank: rankOf(requirements, bindings, cluster),
  }));
  const fitting = judged.filter(({ against }) => against.length === 0);
  const best = fitting.reduce<Rank | undefined>(
    (top, { rank }) => (!top || compare(rank, top) > 0 ? rank : top),
    undefined,
  );
  const winners = fitting.filter(({ rank }) => best && compare(rank, best) === 0).map(({ cluster }) => cluster.name);
  return judged.map(({ cluster: { name }, against, rank }) => {
    if (against.length > 0) return { cluster: name, mayTake: false, reason: against.join("; ") };
    if (winners.includes(name)) return { cluster: name, mayTake: true, reason: "" };
    return { cluster: name, mayTake: false, reason: `could run it, but ${inWords(winners)} ${cameFirst(best, rank)}` };
  });
}

/** Names the queue, names the task type, names the device: each beats what comes after it. */
type Rank = readonly [queue: number, taskType: number, accelerator: number];

interface Binding {
  name: string;
  /** Names of clusters; undefined when no cluster knows the name, so that any takes it. */
  bound: readonly string[] | undefined;
}

/** Clusters that are away count too: a lane does not spill over because its cluster restarts. */
function boundTo(name: string, clusters: readonly RoutableCluster[]): readonly string[] | undefined {
  const serving = clusters.filter(({ queues }) => queues.includes(name));
  const bound = serving.length > 0 ? serving : clusters.filter((cluster) => cluster.name === name);
  return bound.length > 0 ? bound.map((cluster) => cluster.name) : undefined;
}

function misfits(asked: Requirements, bindings: readonly Binding[], cluster: RoutableCluster): string[] {
  const { capacity, labels } = cluster;
  const against: string[] = [];
  if (cluster.state === "draining") against.push(`is draining${cluster.drainReason && `: ${cluster.drainReason}`}`);
  if (cluster.state === "lost") against.push("is lost: its executor is not heard of");
  for (const { name, bound } of bindings) {
    if (!bound || bound.includes(cluster.name)) continue;
    const asks = name === DEFAULT_QUEUE ? "the action is in the default queue" : `the action is bound to ${name}`;
    const own = cluster.queues.length > 0 ? `serves ${cluster.queues.join(", ")}` : "serves no named queue";
    against.push(`${asks}, which only ${inWords(bound)} ${bound.length > 1 ? "serve" : "serves"}; it ${own}`);
  }
  if (lacksType(cluster, asked.taskType)) {
    against.push(`lacks what ${asked.taskType} tasks need: their operator, or the right to use it`);
  } else if (!takesType(cluster, asked.taskType)) {
    const own = cluster.taskTypes.filter((type) => !type.startsWith(LACKED));
    against.push(`takes ${own.join(", ") || "no task types"}, not ${asked.taskType}`);
  }
  if (asked.accelerator !== "" && !hasDevice(capacity.accelerators, asked.accelerator)) {
    const own = capacity.accelerators.join(", ") || "no accelerator";
    against.push(`has ${own}, not ${asked.accelerator === "gpu" ? "a GPU" : asked.accelerator}`);
  }
  if (capacity.cpu > 0 && asked.cpu > capacity.cpu) {
    against.push(`has at most ${capacity.cpu} CPU for one action, which asks for ${asked.cpu}`);
  }
  for (const [own, wanted, what] of [
    [capacity.memoryBytes, asked.memoryBytes, "memory"],
    [capacity.ephemeralStorageBytes, asked.ephemeralStorageBytes, "ephemeral storage"],
  ] as const) {
    if (own <= 0 || wanted <= own) continue;
    against.push(`has at most ${bytesText(own)} of ${what} for one action, which asks for ${bytesText(wanted)}`);
  }
  for (const [label, value] of Object.entries(asked.selector)) {
    const own = labels[label];
    if (own !== undefined && (value === "*" || own === value)) continue;
    const wants = value === "*" ? label : `${label}=${value}`;
    against.push(`has ${own === undefined ? `no label ${label}` : `${label}=${own}`}; the action selects ${wants}`);
  }
  return against;
}

function rankOf(asked: Requirements, bindings: readonly Binding[], cluster: RoutableCluster): Rank {
  // What is bound to nothing goes to clusters that keep no lanes; the others come after them.
  const inLane = bindings.some(({ bound }) => bound) || cluster.queues.length === 0;
  const { accelerators } = cluster.capacity;
  return [
    Number(inLane),
    Number(cluster.taskTypes.includes(asked.taskType)),
    Number(asked.accelerator === "" || asked.accelerator === "gpu" || accelerators.includes(asked.accelerator)),
  ];
}

function lacksType({ taskTypes }: RoutableCluster, taskType: string): boolean {
  return taskTypes.includes(`${LACKED}${taskType}`);
}

function takesType({ taskTypes }: RoutableCluster, taskType: string): boolean {
  return taskTypes.includes(taskType) || taskTypes.includes("*");
}

function hasDevice(own: readonly string[], wanted: string): boolean {
  return own.includes(wanted) || own.includes("*") || (wanted === "gpu" && own.length > 0);
}

function compare(a: Rank, b: Rank): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

function cameFirst(best: Rank | undefined, own: Rank): string {
  if (best && best[0] > own[0]) return "without queues of its own comes first";
  if (best && best[1] > own[1]) return "names its task type and comes first";
  return "names its device and comes first";
}

function inWords(names: readonly string[]): string {
  return names.join(", ");
}

/** The three loads of the engine's benchmark. Each gives its figures as plain numbers with units in their names. */
import { create } from "@bufbuild/protobuf";
import {
  ActionsService,
  WatchForUpdatesRequestSchema,
} from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import type { RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import {
  AbortRunRequestSchema,
  GetActionDetailsRequestSchema,
  RunService,
  WatchRunsRequestSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { isTerminal } from "@flyte-ts/core";
import type { Wire } from "../wire.ts";
import { child, newRun, place, sleepSpec } from "./actions.ts";

export type Figures = Record<string, number>;

const HOUR_MS = 3_600_000;

/** One run, `count` children of no duration enqueued by `callers`, until all are over on the parent's watch. */
export async function fanOut(wire: Wire, { count, callers }: { count: number; callers: number }): Promise<Figures> {
  const run = await startParent(wire);
  const watch = watchChildren(wire, run);
  await watch.ready;
  const before = await usage(wire);
  const spec = sleepSpec(0);
  const started = performance.now();
  const all = watch.ended(count);
  let next = 0;
  await together(callers, async () => {
    while (next < count) {
      await wire.unary(ActionsService.method.enqueue, child(run, `c${next++}`, spec));
    }
  });
  const enqueued = performance.now();
  await all;
  const seconds = (performance.now() - started) / 1000;
  const after = await usage(wire);
  await watch.close();
  await abortRun(wire, run);
  return {
    actions: count,
    callers,
    seconds,
    "actions/s": count / seconds,
    "enqueued/s": (count / (enqueued - started)) * 1000,
    "server CPU ms/action": ((after.cpu - before.cpu) * 1000) / count,
    "server RSS MB before": before.rssMb,
    "server RSS MB after": after.rssMb,
    "server RSS MB growth": after.rssMb - before.rssMb,
  };
}

/** `hops` children, each enqueued when the one before is over: what one awaited call costs. */
export async function chain(wire: Wire, { hops }: { hops: number }): Promise<Figures> {
  const run = await startParent(wire);
  const watch = watchChildren(wire, run);
  await watch.ready;
  const spec = sleepSpec(0);
  const times: number[] = [];
  for (let i = 0; i < hops; i++) {
    const started = performance.now();
    const over = watch.ended(i + 1);
    await wire.unary(ActionsService.method.enqueue, child(run, `h${i}`, spec));
    await over;
    times.push(performance.now() - started);
  }
  await watch.close();
  await abortRun(wire, run);
  return { hops, ...percentiles(times, "hop ms") };
}

/** `count` runs of one action of no duration, `inFlight` at a time, until all are over on the project's watch. */
export async function manyRuns(wire: Wire, { count, inFlight }: { count: number; inFlight: number }): Promise<Figures> {
  const stop = new AbortController();
  const over = new Map<string, () => void>();
  const early = new Set<string>();
  const target = {
    case: "projectId" as const,
    value: { domain: place.domain, name: place.project, organization: "bench" },
  };
  let ready: () => void = () => {};
  const isReady = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const reading = (async () => {
    const stream = wire.stream(RunService.method.watchRuns, create(WatchRunsRequestSchema, { target }), stop.signal);
    for await (const { runs } of stream) {
      if (runs.length === 0) ready();
      for (const { action } of runs) {
        const name = action?.id?.run?.name ?? "";
        if (!isTerminal(action?.status?.phase ?? 0)) continue;
        const resolve = over.get(name);
        if (resolve) resolve();
        else early.add(name);
        over.delete(name);
      }
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  await Promise.race([isReady, reading]);
  early.clear();
  const before = await usage(wire);
  const times: number[] = [];
  const started = performance.now();
  let next = 0;
  await together(inFlight, async () => {
    while (next++ < count) {
      const began = performance.now();
      const { run } = await wire.unary(RunService.method.createRun, newRun(0));
      const name = run?.action?.id?.run?.name ?? "";
      if (!early.delete(name)) await new Promise<void>((resolve) => over.set(name, resolve));
      times.push(performance.now() - began);
    }
  });
  const seconds = (performance.now() - started) / 1000;
  const after = await usage(wire);
  stop.abort();
  await reading;
  return {
    runs: count,
    "in flight": inFlight,
    seconds,
    "runs/s": count / seconds,
    "server CPU ms/run": ((after.cpu - before.cpu) * 1000) / count,
    ...percentiles(times, "run ms"),
  };
}

async function startParent(wire: Wire): Promise<RunIdentifier> {
  const { run } = await wire.unary(RunService.method.createRun, newRun(HOUR_MS));
  const id = run?.action?.id;
  if (!id?.run) throw new Error("CreateRun answered no run");
  await wire.unary(RunService.method.getActionDetails, create(GetActionDetailsRequestSchema, { actionId: id }));
  return id.run;
}

async function abortRun(wire: Wire, runId: RunIdentifier): Promise<void> {
  await wire.unary(
    RunService.method.abortRun,
    create(AbortRunRequestSchema, { runId, reason: "the benchmark is over" }),
  );
}

function watchChildren(wire: Wire, run: RunIdentifier) {
  const stop = new AbortController();
  const over = new Set<string>();
  let wanted: { count: number; resolve(): void } | undefined;
  let sentinel: () => void = () => {};
  const ready = new Promise<void>((resolve) => {
    sentinel = resolve;
  });
  const reading = (async () => {
    const request = create(WatchForUpdatesRequestSchema, {
      filter: { case: "parentActionId", value: { run, name: "a0" } },
    });
    for await (const { message } of wire.stream(ActionsService.method.watchForUpdates, request, stop.signal)) {
      if (message.case === "controlMessage") sentinel();
      if (message.case !== "actionUpdate" || !isTerminal(message.value.phase)) continue;
      over.add(message.value.actionId?.name ?? "");
      if (wanted && over.size >= wanted.count) wanted.resolve();
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  return {
    ready: Promise.race([ready, reading]),
    ended: (count: number) =>
      new Promise<void>((resolve) => {
        wanted = { count, resolve };
      }),
    async close() {
      stop.abort();
      await reading;
    },
  };
}

async function together(callers: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: callers }, work));
}

async function usage(wire: Wire): Promise<{ cpu: number; rssMb: number }> {
  const metrics = await wire.metrics();
  return {
    cpu: metrics.get("process_cpu_seconds_total") ?? Number.NaN,
    rssMb: (metrics.get("process_resident_memory_bytes") ?? Number.NaN) / (1 << 20),
  };
}

function percentiles(times: number[], name: string): Figures {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (p: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
  return { [`${name} p50`]: at(0.5), [`${name} p99`]: at(0.99), [`${name} max`]: at(1) };
}

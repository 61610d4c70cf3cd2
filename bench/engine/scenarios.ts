/** The three loads of the engine's benchmark. Each gives its figures as plain numbers with units in their names. */
import { create } from "@bufbuild/protobuf";
import { RunService, WatchRunsRequestSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { isTerminal } from "@flyte-ts/core";
import { newRun, place, sleepSpec } from "../actions.ts";
import { percentiles, together, usage } from "../measure.ts";
import { startParent } from "../parent.ts";
import type { Figures } from "../scenario.ts";
import type { Wire } from "../wire.ts";

/** One run, `count` children of no duration enqueued by `callers`, until all are over on the parent's watch. */
export async function fanOut(wire: Wire, { count, callers }: { count: number; callers: number }): Promise<Figures> {
  const parent = await startParent(wire);
  const before = await usage(wire);
  const spec = sleepSpec(0);
  const started = performance.now();
  const all = parent.ended(count);
  let next = 0;
  await together(callers, async () => {
    while (next < count) await parent.enqueue(`c${next++}`, spec);
  });
  const enqueued = performance.now();
  await all;
  const seconds = (performance.now() - started) / 1000;
  const after = await usage(wire);
  await parent.close();
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
  const parent = await startParent(wire);
  const spec = sleepSpec(0);
  const times: number[] = [];
  for (let i = 0; i < hops; i++) {
    const started = performance.now();
    const over = parent.ended(i + 1);
    await parent.enqueue(`h${i}`, spec);
    await over;
    times.push(performance.now() - started);
  }
  await parent.close();
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

/**
 * Runs tasks as processes of this machine: types python, container and raw-container, and every type that has no plugin
 * of its own.
 *
 * Promise: a process outlives the server that started it. A server that starts again finds it by its attempt's folder,
 * goes on watching it, and reads its result; no attempt is started twice, and when an attempt is released nothing of its
 * process group runs.
 */
import type { ChildProcess } from "node:child_process";
import { create } from "@bufbuild/protobuf";
import { ResourceUsageSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toDuration } from "@flyte-ts/core";
import { StoreUnavailableError } from "@flyte-ts/platform/object-store";
import { settle } from "../../copilot/index.ts";
import type { AttemptContext, Ending, Plugin, Step, Transition } from "../../executor/index.ts";
import { dataConfig, declaresOutputs, type Results, readResults } from "../../task-code/index.ts";
import { type AttemptFolder, attemptFolder } from "./attempt-folder.ts";
import { folders } from "./folders.ts";
import { lastLines } from "./last-lines.ts";
import { launcher } from "./launcher.ts";
import { type Observation, observe } from "./observe.ts";
import type { ProcessOptions } from "./options.ts";
import { endOf, failedToStart } from "./phase.ts";
import { oomKills, peakRssBytes, processesWith, signalGroup, signalProcess } from "./process-table.ts";
import { stagingOf } from "./staging.ts";

interface Watched {
  child: ChildProcess | undefined;
  peakRssBytes: number;
  /** When SIGTERM was sent. */
  termAt?: number;
}

/** How often a process that is not our child is looked at, and the memory of one that is. */
const ADOPTED_MS = 250;
const SAMPLE_MS = 1000;
const STARTING_MS = 50;
const STORE_AWAY_MS = 1000;

export function processPlugin(options: ProcessOptions): Plugin {
  const { log, logs } = options;
  const graceMs = options.graceMs ?? 5000;
  const watched = new Map<string, Watched>();
  const launch = launcher(options);
  const local = folders(options);

  const folderOf = (key: string): AttemptFolder => attemptFolder(local.root, key);

  function watch(context: AttemptContext, child: ChildProcess | undefined): Watched {
    let entry = watched.get(context.key);
    if (!entry) {
      entry = { child, peakRssBytes: 0 };
      watched.set(context.key, entry);
      child?.once("exit", () => context.wake());
    }
    return entry;
  }

  async function begin(context: AttemptContext, folder: AttemptFolder): Promise<Step> {
    if (context.startedAt) {
      const message = "the task's process was running before a restart and nothing of it is left on this machine";
      const error = { code: "ProcessLost", message, kind: "system", recoverable: true } as const;
      return { transitions: [{ phase: "failed", at: context.now, error }], released: true };
    }
    const begun = await launch(context, folder);
    if ("error" in begun) return { transitions: [failedToStart(context.now, begun.error)], released: true };
    watch(context, begun.child);
    return running(context, folder, { startedAtMs: begun.startedAtMs, ours: true });
  }

  async function running(
    context: AttemptContext,
    folder: AttemptFolder,
    { startedAtMs, ours }: { startedAtMs: number; ours: boolean },
  ): Promise<Step> {
    await follow(context, folder);
    const transitions: Transition[] = context.startedAt ? [] : [{ phase: "running", at: new Date(startedAtMs) }];
    return {
      ...(transitions.length > 0 ? { transitions, details: { logsAvailable: true } } : {}),
      after: ours ? SAMPLE_MS : ADOPTED_MS,
    };
  }

  async function follow(context: AttemptContext, folder: AttemptFolder): Promise<void> {
    try {
      await logs.follow(context.places.attemptUri, folder.log);
    } catch (error) {
      log.warn({ attempt: context.key, err: error }, "the log of an attempt cannot be followed");
    }
  }

  async function finish(
    context: AttemptContext,
    folder: AttemptFolder,
    seen: Extract<Observation, { kind: "ended" }>,
  ): Promise<Step> {
    await killRest(context.key, seen.launch.token);
    let results: Results;
    try {
      results = await readResults(options.objectStore, context.places.attemptUri);
      if (seen.status !== undefined && !results.error && !results.hasOutputs) {
        if (await collect(context, folder, seen.status)) {
          results = await readResults(options.objectStore, context.places.attemptUri);
        }
      }
    } catch (error) {
      // Other errors do not pass by waiting; the executor counts them and gives up.
      if (!(error instanceof StoreUnavailableError)) throw error;
      log.warn({ attempt: context.key, err: error }, "the result of an attempt cannot be read yet");
      return { after: STORE_AWAY_MS };
    }
    await follow(context, folder);
    await storeLog(context, folder);
    const end = endOf({
      ...results,
      at: context.now,
      status: seen.status,
      declaresOutputs: declaresOutputs(context.task.taskTemplate),
      attemptUri: context.places.attemptUri,
      outOfMemory: (await oomKills()) > seen.launch.oomKills,
      lastLines: await lastLines(folder.log),
    });
    const started: Transition[] = context.startedAt
      ? []
      : [{ phase: "running", at: new Date(seen.launch.startedAtMs) }];
    return { transitions: [...started, end], details: usage(context.key, seen), released: true };
  }

  /** A task that knows nothing of Flyte leaves its outputs as files. True when there is something to read now. */
  async function collect(context: AttemptContext, folder: AttemptFolder, exitCode: number): Promise<boolean> {
    const template = context.task.taskTemplate;
    if (!dataConfig(template) || !declaresOutputs(template)) return false;
    const settled = await settle({
      store: options.objectStore,
      folder: stagingOf(folder.path).outputs,
      outputs: template?.interface?.outputs,
      exitCode,
      attemptUri: context.places.attemptUri,
      rawDataPrefix: context.places.rawDataPrefix,
    });
    return settled !== "nothing";
  }

  function usage(key: string, seen: Extract<Observation, { kind: "ended" }>): NonNullable<Step["details"]> {
    return {
      logsAvailable: true,
      usage: create(ResourceUsageSchema, {
        userCpu: toDuration(seen.exit?.userCpuMs ?? 0),
        systemCpu: toDuration(seen.exit?.systemCpuMs ?? 0),
        maxRssBytes: BigInt(watched.get(key)?.peakRssBytes ?? 0),
      }),
    };
  }

  async function storeLog(context: AttemptContext, folder: AttemptFolder): Promise<void> {
    await logs.finish(context.places.attemptUri, () => local.logStored(folder));
  }

  /** What a task left running behind its back goes with it. */
  async function killRest(key: string, token: string): Promise<void> {
    const pgid = watched.get(key)?.child?.pid;
    // Our own child's group cannot be another's: its leader was reaped only now.
    if (pgid !== undefined && !signalGroup(pgid, "SIGKILL")) return;
    for (const pid of await processesWith(token)) signalProcess(pid, "SIGKILL");
  }

  return {
    taskTypes: ["python", "container", "raw-container", "*"],
    async reconcile(context) {
      const folder = folderOf(context.key);
      const entry = watched.get(context.key);
      const seen = await observe(folder, entry?.child);
      switch (seen.kind) {
        case "none":
          return begin(context, folder);
        case "starting":
          return { after: STARTING_MS };
        case "running": {
          const adopted = watch(context, undefined);
          adopted.peakRssBytes = Math.max(adopted.peakRssBytes, await peakRssBytes(seen.pid));
          return running(context, folder, { startedAtMs: seen.launch.startedAtMs, ours: adopted.child !== undefined });
        }
        case "ended":
          return finish(context, folder, seen);
      }
    },
    async abort(context, _ending: Ending) {
      const folder = folderOf(context.key);
      const entry = watched.get(context.key);
      const seen = await observe(folder, entry?.child);
      if (seen.kind === "none") return { released: true };
      if (seen.kind === "starting") return { after: STARTING_MS };
      if (seen.kind === "ended") {
        await killRest(context.key, seen.launch.token);
        if ((await processesWith(seen.launch.token)).length > 0) return { after: STARTING_MS };
        await follow(context, folder);
        await storeLog(context, folder);
        return { released: true, details: usage(context.key, seen) };
      }
      const watching = watch(context, undefined);
      const elapsed = watching.termAt === undefined ? undefined : performance.now() - watching.termAt;
      if (elapsed === undefined) {
        watching.termAt = performance.now();
        signalGroup(seen.pid, "SIGTERM");
        return { after: Math.min(graceMs, ADOPTED_MS) };
      }
      if (elapsed >= graceMs) {
        signalGroup(seen.pid, "SIGKILL");
        for (const pid of await processesWith(seen.launch.token)) signalProcess(pid, "SIGKILL");
      }
      return { after: Math.min(ADOPTED_MS, Math.max(STARTING_MS, graceMs - elapsed)) };
    },
    async finalize(context) {
      watched.delete(context.key);
      await local.retire(folderOf(context.key));
    },
    sweep: (isHeld) => local.sweep(isHeld),
    run: (signal) => logs.run(signal),
  };
}

/** One run whose children are the load: its root sleeps, and a watch tells what becomes of them. */
import { create } from "@bufbuild/protobuf";
import {
  ActionsService,
  WatchForUpdatesRequestSchema,
} from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import type { RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { ActionPhase } from "@flyte-ts/contract/flyteidl2/common/phase_pb.ts";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { AbortRunRequestSchema, RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { isTerminal } from "@flyte-ts/core";
import { child, newRun } from "./actions.ts";
import type { Wire } from "./wire.ts";

const HOUR_MS = 3_600_000;
/** Without any news for so long, what is waited for does not come. */
const SILENCE_MS = 120_000;

export interface Parent {
  /** Children by the last phase that was told of them. */
  readonly phases: ReadonlyMap<string, ActionPhase>;
  /** Children that were told to be running before they were told to be over. */
  readonly ran: ReadonlySet<string>;
  enqueue(name: string, spec: TaskSpec): Promise<void>;
  /** So many children are over. */
  ended(count: number): Promise<void>;
  running(count: number): Promise<void>;
  /** How many of those that are over succeeded. */
  succeeded(): number;
  /** Aborts the run. */
  close(): Promise<void>;
}

export async function startParent(wire: Wire): Promise<Parent> {
  const { run: made } = await wire.unary(RunService.method.createRun, newRun(HOUR_MS));
  const run = made?.action?.id?.run;
  if (!run) throw new Error("CreateRun answered no run");
  const news = watchChildren(wire, run);
  await news.ready;
  return {
    phases: news.phases,
    ran: news.ran,
    enqueue: async (name, spec) => void (await wire.unary(ActionsService.method.enqueue, child(run, name, spec))),
    ended: (count) => news.until(() => news.over() >= count, `${count} children to be over`),
    running: (count) => news.until(() => news.ran.size >= count, `${count} children to be running`),
    succeeded: () => [...news.phases.values()].filter((phase) => phase === ActionPhase.SUCCEEDED).length,
    async close() {
      await news.close();
      const reason = "the benchmark is over";
      await wire.unary(RunService.method.abortRun, create(AbortRunRequestSchema, { runId: run, reason }));
    },
  };
}

interface Wanted {
  isTrue(): boolean;
  resolve(): void;
  reject(error: unknown): void;
}

function watchChildren(wire: Wire, run: RunIdentifier) {
  const stop = new AbortController();
  const phases = new Map<string, ActionPhase>();
  const ran = new Set<string>();
  let over = 0;
  const waiting = new Set<Wanted>();
  const sentinel = Promise.withResolvers<void>();

  function told(name: string, phase: ActionPhase): void {
    const before = phases.get(name);
    if (isTerminal(phase) && (before === undefined || !isTerminal(before))) over += 1;
    if (phase === ActionPhase.RUNNING) ran.add(name);
    phases.set(name, phase);
    for (const wanted of waiting) if (wanted.isTrue()) wanted.resolve();
  }

  async function read(): Promise<void> {
    const request = create(WatchForUpdatesRequestSchema, {
      filter: { case: "parentActionId", value: { run, name: "a0" } },
    });
    for await (const { message } of wire.stream(ActionsService.method.watchForUpdates, request, stop.signal)) {
      if (message.case === "controlMessage") sentinel.resolve();
      if (message.case === "actionUpdate") told(message.value.actionId?.name ?? "", message.value.phase);
    }
    throw new Error("the server ended the watch on the children");
  }

  const reading = read().catch((error: unknown) => {
    if (stop.signal.aborted) return;
    for (const wanted of waiting) wanted.reject(error);
    sentinel.reject(error);
  });

  return {
    phases,
    ran,
    over: () => over,
    ready: sentinel.promise,
    async until(isTrue: () => boolean, what: string): Promise<void> {
      if (isTrue()) return;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const wanted = { isTrue, resolve, reject };
      waiting.add(wanted);
      try {
        await inTime(promise, () => `${over}/${ran.size}`, what, reject);
      } finally {
        waiting.delete(wanted);
      }
    },
    async close() {
      stop.abort();
      await reading;
    },
  };
}

/** Rejects when nothing new is heard for long: a phase that is missed is a result too. */
async function inTime(
  promise: Promise<void>,
  progress: () => string,
  what: string,
  reject: (error: Error) => void,
): Promise<void> {
  let seen = progress();
  const timer = setInterval(() => {
    const now = progress();
    if (now === seen) reject(new Error(`nothing new for ${SILENCE_MS / 1000} s, still waiting for ${what}`));
    seen = now;
  }, SILENCE_MS);
  try {
    await promise;
  } finally {
    clearInterval(timer);
  }
}

/**
 * Runs `core-sleep` actions: no process, one entry in the reconciler's timer each. A sleep goes on after a restart with
 * the time that is left, counted from when the attempt was first reported RUNNING. It writes no outputs.pb: the SDK
 * reads none for a task without outputs, and a sleep with declared outputs is refused.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { AttemptContext, Plugin, Step } from "../../executor/index.ts";
import { inlineDuration, inputDuration } from "./build.ts";
import { badSleep, sleepStep } from "./phase.ts";

export interface SleepOptions {
  objectStore: Pick<ObjectStore, "get">;
}

/** Inputs of a sleep are one small literal. */
const MAX_INPUT_BYTES = 1 << 20;

export function sleepPlugin({ objectStore }: SleepOptions): Plugin {
  async function durationOf(context: AttemptContext): Promise<number | string> {
    if (context.places.inputUri === "") return "it has neither custom.duration_ms nor inputs";
    const bytes = await objectStore.get(context.places.inputUri, { maxBytes: MAX_INPUT_BYTES });
    return inputDuration(fromBinary(InputsSchema, bytes));
  }

  function step(context: AttemptContext, duration: number | string): Step {
    if (typeof duration === "string") return badSleep(duration, context.now);
    const next = sleepStep({ durationMs: duration, startedAt: context.startedAt, now: context.now });
    return next.released ? next : { ...next, state: { duration } };
  }

  return {
    taskTypes: ["core-sleep"],
    reconcile(context) {
      const known = context.state?.duration;
      if (typeof known === "number") return step(context, known);
      const template = context.task.taskTemplate;
      if ((template?.interface?.outputs?.variables.length ?? 0) > 0) {
        return badSleep("it declares outputs, and a sleep has none", context.now);
      }
      const inline = inlineDuration(template?.custom);
      if (inline !== undefined) return step(context, inline);
      return durationOf(context).then((duration) => step(context, duration));
    },
    abort: () => ({ released: true }),
  };
}

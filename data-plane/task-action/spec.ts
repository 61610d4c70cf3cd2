/**
 * A lease as the spec of a TaskAction, and back. Pure.
 *
 * Promise: nothing of a lease is lost. What no field of the spec can hold (a value longer than the schema allows, a field
 * of a newer contract) goes into `leaseRest`.
 */
import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import {
  ActionRefSchema,
  type LeasedAction,
  LeasedActionSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { z } from "zod";
import { attemptKey, UnstorableError } from "../executor/index.ts";
import { base64, bytesOf, reading, shaped } from "./malformed.ts";
import type { TaskActionSpec } from "./task-action.ts";

export type TemplateRef = NonNullable<TaskActionSpec["taskTemplateRef"]>;

/** What the schema of the custom resource allows. */
const longest = { parent: 30, cacheKey: 256, shortName: 63, group: 256 };

/** `templateRef`: where the template is kept when it is too large for the object. */
export function specOf(lease: LeasedAction, cluster: string, templateRef?: TemplateRef): TaskActionSpec {
  const { ref } = lease;
  if (!ref) throw new Error("a lease names no action: its `ref` is missing");
  const short = (field: keyof typeof longest) => (lease[field].length <= longest[field] ? lease[field] : "");
  return compact<TaskActionSpec>({
    runName: ref.run,
    project: ref.project,
    domain: ref.domain,
    actionName: ref.name,
    runOutputBase: lease.runOutputBase,
    cluster,
    runKey: wholeNumber("run_key", ref.runKey),
    leaseEpoch: wholeNumber("epoch", lease.epoch),
    attempt: lease.attempt,
    actionType: "task",
    taskType: lease.taskType,
    parentActionName: short("parent"),
    inputUri: lease.inputUri,
    cacheKey: short("cacheKey"),
    shortName: short("shortName"),
    group: short("group"),
    ...(templateRef ? { taskTemplateRef: templateRef } : { taskTemplate: base64(lease.taskSpec) }),
    envVars: lease.envs,
    interruptible: lease.interruptible,
    rawDataPrefix: lease.rawDataPrefix,
    serviceAccount: lease.serviceAccount,
    runLabels: lease.labels,
    runAnnotations: lease.annotations,
    runStartTime: timeText(lease.runStartTime),
    enqueuedAt: timeText(lease.enqueuedAt),
    startedAt: timeText(lease.startedAt),
    leaseRest: base64(restOf(lease)),
  });
}

/** Names the attempt that a spec is of; undefined when it names none. */
export function keyOfSpec(spec: TaskActionSpec | undefined): string | undefined {
  const named = identity.safeParse(spec);
  return named.success ? attemptKey(refOf(named.data), named.data.attempt) : undefined;
}

/** As much of a lease as it takes to say that its attempt failed; the spec has a key. */
export function leaseStub(spec: TaskActionSpec): LeasedAction {
  const { attempt, leaseEpoch, ...named } = shaped("spec", identity, spec);
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  return create(LeasedActionSchema, {
    ref: refOf(named),
    attempt,
    epoch: BigInt(leaseEpoch),
    taskType: text(spec.taskType),
    runOutputBase: text(spec.runOutputBase),
  });
}

/** Throws a MalformedError that names the field. `taskSpec`: the bytes that a `taskTemplateRef` stands for. */
export function leaseOfSpec(given: TaskActionSpec, taskSpec?: Uint8Array): LeasedAction {
  const spec = shaped("spec", shape, given);
  const rest = reading("spec.leaseRest", () =>
    fromBinary(LeasedActionSchema, bytesOf("spec.leaseRest", spec.leaseRest ?? "")),
  );
  const template = taskSpec ?? bytesOf("spec.taskTemplate", spec.taskTemplate ?? "");
  reading("spec.taskTemplate", () => fromBinary(TaskSpecSchema, template));
  return Object.assign(rest, {
    ref: refOf(spec),
    epoch: BigInt(spec.leaseEpoch),
    attempt: spec.attempt,
    parent: spec.parentActionName ?? rest.parent,
    taskType: spec.taskType ?? "",
    taskSpec: template,
    inputUri: spec.inputUri ?? "",
    runOutputBase: spec.runOutputBase,
    envs: spec.envVars ?? {},
    labels: spec.runLabels ?? {},
    annotations: spec.runAnnotations ?? {},
    rawDataPrefix: spec.rawDataPrefix ?? "",
    group: spec.group ?? rest.group,
    serviceAccount: spec.serviceAccount ?? "",
    shortName: spec.shortName ?? rest.shortName,
    cacheKey: spec.cacheKey ?? rest.cacheKey,
    ...optional("interruptible", spec.interruptible),
    ...optional("runStartTime", timestamp("spec.runStartTime", spec.runStartTime)),
    ...optional("enqueuedAt", timestamp("spec.enqueuedAt", spec.enqueuedAt)),
    ...optional("startedAt", timestamp("spec.startedAt", spec.startedAt)),
  });
}

const whole = z.number().int().nonnegative();
const identity = z.object({
  runName: z.string().min(1),
  project: z.string().min(1),
  domain: z.string().min(1),
  actionName: z.string().min(1),
  runKey: whole.min(1),
  attempt: whole.min(1),
  leaseEpoch: whole,
});
const text = z.string().optional();
const texts = z.record(z.string(), z.string()).optional();
const shape = identity.extend({
  cluster: z.string().min(1),
  runOutputBase: z.string().min(1),
  taskType: text,
  taskTemplate: text,
  parentActionName: text,
  inputUri: text,
  cacheKey: text,
  shortName: text,
  group: text,
  envVars: texts,
  runLabels: texts,
  runAnnotations: texts,
  interruptible: z.boolean().optional(),
  rawDataPrefix: text,
  serviceAccount: text,
  runStartTime: text,
  enqueuedAt: text,
  startedAt: text,
  leaseRest: text,
});

function refOf(spec: Omit<z.infer<typeof identity>, "attempt" | "leaseEpoch">) {
  const { project, domain, runName: run, actionName: name, runKey } = spec;
  return create(ActionRefSchema, { project, domain, run, name, runKey: BigInt(runKey) });
}

/** All that has no field of its own: of the fields that have one, only what is too long for it. */
function restOf(lease: LeasedAction): Uint8Array {
  const long = (field: keyof typeof longest) => (lease[field].length > longest[field] ? lease[field] : "");
  const { ref: _, interruptible: __, runStartTime: ___, enqueuedAt: ____, startedAt: _____, ...others } = lease;
  return toBinary(
    LeasedActionSchema,
    Object.assign(create(LeasedActionSchema), others, {
      epoch: 0n,
      attempt: 0,
      taskType: "",
      taskSpec: new Uint8Array(),
      inputUri: "",
      runOutputBase: "",
      envs: {},
      labels: {},
      annotations: {},
      rawDataPrefix: "",
      serviceAccount: "",
      parent: long("parent"),
      cacheKey: long("cacheKey"),
      shortName: long("shortName"),
      group: long("group"),
    }),
  );
}

/** A JSON number holds no more. */
function wholeNumber(field: string, value: bigint): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  const message = `${field} is ${value}, more than a TaskAction can hold`;
  throw new UnstorableError({ code: "InvalidSpec", message, kind: "system", recoverable: false });
}

function timeText(time: Timestamp | undefined): string | undefined {
  return time && (toJson(TimestampSchema, time) as string);
}

function timestamp(where: string, time: string | undefined): Timestamp | undefined {
  return time === undefined ? undefined : reading(where, () => fromJson(TimestampSchema, time));
}

function optional<K extends string, V>(name: K, value: V | undefined): { [N in K]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [N in K]?: V };
}

/** Without what is empty. The fields that the schema demands are never empty in a lease. */
function compact<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  const isEmpty = (value: unknown) =>
    value === undefined || value === "" || (typeof value === "object" && Object.keys(value as object).length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value))) as T;
}

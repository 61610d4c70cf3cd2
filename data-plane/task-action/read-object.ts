/** An object as the record that it is of, also when somebody has spoiled it or is deleting it. */
import type { AttemptError, EndingIntent, NewActionRecord } from "../executor/index.ts";
import type { Held } from "./held.ts";
import { MalformedError } from "./malformed.ts";
import { leaseOfSpec, leaseStub, type TemplateRef } from "./spec.ts";
import { stateOf } from "./status.ts";
import type { TaskAction } from "./task-action.ts";

/** Never throws a MalformedError: an attempt whose object nobody can read fails, and says why. */
export async function recordOf(
  object: TaskAction,
  key: string,
  held: Held | undefined,
  readTemplate: (ref: TemplateRef) => Promise<Uint8Array>,
): Promise<NewActionRecord> {
  const record = await whole(object, key, held, readTemplate).catch((error) => {
    if (!(error instanceof MalformedError)) throw error;
    return ending(held?.record ?? stub(object, key), invalid(object, error.message));
  });
  return object.metadata.deletionTimestamp ? ending(record, deleted(object.metadata)) : record;
}

/** `ending`, unless it has ended or is to end anyway. */
export function ending(record: NewActionRecord, intent: EndingIntent): NewActionRecord {
  return record.ending || record.released ? record : { ...record, ending: intent };
}

/** By hand: we delete only what has ended. */
export function deleted({ namespace, name }: { namespace?: string; name: string }): EndingIntent {
  return { phase: "aborted", reason: `its TaskAction ${namespace}/${name} was deleted by hand` };
}

/** Nobody saw who deleted it, or whether it was a person. */
export function vanished({ namespace, name }: { namespace: string; name: string }): EndingIntent {
  const message = `TaskAction ${namespace}/${name} vanished from the cluster: was its store put back to an earlier state?`;
  return failing({ code: "TaskActionVanished", message, kind: "system", recoverable: true });
}

/** Copies of an object, or objects without an attempt, which no record stands for. Undefined: it is as it should be. */
export function strangeness(object: TaskAction, expectedName: string): string | undefined {
  if (object.metadata.name === expectedName) return undefined;
  return `it names the attempt of TaskAction ${expectedName}: objects are made by the executor, delete this one`;
}

async function whole(
  { metadata, spec, status }: TaskAction,
  key: string,
  held: Held | undefined,
  readTemplate: (ref: TemplateRef) => Promise<Uint8Array>,
): Promise<NewActionRecord> {
  if (held?.dirty) return held.record;
  const same = held && held.generation === metadata.generation;
  const { taskTemplateRef } = spec;
  const lease = same ? held.record.lease : leaseOfSpec(spec, taskTemplateRef && (await readTemplate(taskTemplateRef)));
  return { key, lease, ...stateOf(status, lease) };
}

function stub({ spec }: TaskAction, key: string): NewActionRecord {
  return { key, lease: leaseStub(spec), transitions: [], details: {}, released: false };
}

function invalid({ metadata }: TaskAction, why: string): EndingIntent {
  const message = `TaskAction ${metadata.namespace}/${metadata.name} cannot be read, somebody changed it: ${why}`;
  return failing({ code: "InvalidSpec", message, kind: "user", recoverable: false });
}

function failing(error: AttemptError): EndingIntent {
  return { phase: "failed", reason: error.message, error };
}

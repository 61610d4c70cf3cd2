/**
 * The three things done at a connector, each from its preparation to what is kept of it. They run in the connector's
 * `calls`, beside the executor's steps, and answer with an {@link Outcome}; a throw is a mistake of ours.
 *
 * Promise of `create`: a note is in the object store before the connector is called. It goes away again only when the call
 * surely had no effect, so a note without an answer means that a resource may exist which nobody can name.
 */
import { fromBinary, create as message, toBinary } from "@bufbuild/protobuf";
import type { Resource } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { type Inputs, InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import {
  ObjectNotFoundError,
  type ObjectStore,
  ObjectTooLargeError,
  StoreFullError,
  StoreUnavailableError,
} from "@flyte-ts/platform/object-store";
import type { AttemptContext, AttemptError, Log } from "../../executor/index.ts";
import type { SecretValues } from "../../secrets/index.ts";
import { declaresOutputs, readResults } from "../../task-code/index.ts";
import { BadTaskError } from "./bad-task.ts";
import { buildRequest, type ConnectionArguments } from "./build.ts";
import { connectionSpec, secretArguments } from "./connection.ts";
import type { Category, Connector, Directory } from "./directory.ts";
import { type Note, readNote, removeNote, rewrite, writeFirst } from "./note.ts";
import type { Outcome } from "./outcome.ts";
import { hasEnded } from "./phase.ts";
import { type Refusal, refusalOf } from "./refusal.ts";

export interface RemoteOptions {
  directory: Pick<Directory, "serves">;
  objectStore: Pick<ObjectStore, "get" | "put" | "head" | "delete">;
  secrets: SecretValues;
  log: Log;
  /** Endpoint and storage variables of this server, for tasks that a connector runs elsewhere. */
  taskEnvironment(): Readonly<Record<string, string>>;
}

export type Made = Note & { meta: Uint8Array };

export interface Remote {
  create(context: AttemptContext, connector: Connector): Promise<Outcome>;
  get(context: AttemptContext, connector: Connector, note: Made): Promise<Outcome>;
  delete(context: AttemptContext, connector: Connector, note: Made): Promise<Outcome>;
  /** Stores what is known of a resource; true when that succeeded. Never throws. */
  save(context: AttemptContext, note: Made): Promise<boolean>;
}

/** What a connector needs to find a resource again; more is no name but data. */
const MAX_META_BYTES = 1 << 20;

export function remote(options: RemoteOptions): Remote {
  const { directory, objectStore, log } = options;

  async function create(context: AttemptContext, connector: Connector): Promise<Outcome> {
    const { lease, places, task } = context;
    const { endpoint } = connector.config;
    const template = task.taskTemplate;
    if (!template)
      throw new BadTaskError("BadTaskSpecification", "the task has no template that a connector could run");
    const category = categoryOf(context);
    const request = buildRequest({
      lease,
      template,
      places,
      inputs: await readInputs(context, connector.config.maxRequestBytes),
      connection: await connectionOf(context),
      server: options.taskEnvironment(),
      maxBytes: connector.config.maxRequestBytes,
    });
    const note: Note = { endpoint, taskType: category.name, version: category.version, createdAt: context.now };
    if (!(await writeFirst(objectStore, places.attemptUri, note))) {
      const earlier = await readNote(objectStore, places.attemptUri);
      if (earlier?.meta) return { kind: "created", note: { ...earlier, meta: earlier.meta }, saved: true };
      return { kind: "failed", error: uncertain(earlier?.endpoint ?? endpoint, "an earlier call"), gone: true };
    }
    let meta: Uint8Array;
    try {
      meta = await connector.client.create(request);
    } catch (error) {
      return notCreated(context, connector, category, refusalOf(error));
    }
    const made: Made = { ...note, meta };
    if (meta.length > MAX_META_BYTES) {
      const text = `the connector names its resource by ${meta.length} bytes, more than the ${MAX_META_BYTES} that can be kept; repair the connector`;
      await remove(context, connector, made);
      return { kind: "failed", error: problem("ResourceMetaTooLarge", text, "system", false), gone: true };
    }
    return { kind: "created", note: made, saved: await save(context, made) };
  }

  /** True when the note is stored; otherwise the next look tries again. */
  async function save(context: AttemptContext, made: Made): Promise<boolean> {
    try {
      await rewrite(objectStore, context.places.attemptUri, made);
      return true;
    } catch (error) {
      log.warn({ attempt: context.key, err: error }, "the name of a connector's resource cannot be stored yet");
      return false;
    }
  }

  async function notCreated(
    context: AttemptContext,
    connector: Connector,
    category: Category,
    refusal: Refusal,
  ): Promise<Outcome> {
    const { endpoint } = connector.config;
    if (refusal.kind === "away" && refusal.sent) {
      return { kind: "failed", error: uncertain(endpoint, refusal.message), gone: true, away: refusal.message };
    }
    if (refusal.kind === "slow") {
      return { kind: "failed", error: uncertain(endpoint, "it did not answer in time"), gone: true };
    }
    // All others: the connector said no, so there is nothing.
    await removeNote(objectStore, context.places.attemptUri);
    switch (refusal.kind) {
      case "away":
        return { kind: "later", away: refusal.message, ...unreachable(endpoint, refusal.message) };
      case "busy":
        return {
          kind: "later",
          reason: "ConnectorBusy",
          message: `the connector ${endpoint} is busy: ${refusal.message}`,
        };
      case "refused":
        return { kind: "failed", error: refused(endpoint, refusal), gone: true };
      case "notFound":
        if ((await directory.serves(connector, category)) !== true)
          return { kind: "later", ...lostType(endpoint, category) };
    }
    const text = `the connector ${endpoint} could not create the resource: ${refusal.message}`;
    return { kind: "failed", error: problem("ConnectorCreateFailed", text, "user", true), gone: true };
  }

  async function get(context: AttemptContext, connector: Connector, note: Made): Promise<Outcome> {
    const connection = await wireConnection(context);
    let resource: Resource | undefined;
    try {
      resource = await connector.client.get({
        resourceMeta: note.meta,
        taskCategory: { name: note.taskType, version: note.version },
        outputPrefix: context.places.attemptUri,
        connection,
      });
    } catch (error) {
      return notSeen(connector, note, refusalOf(error));
    }
    if (!resource) {
      return {
        kind: "trouble",
        reason: "ConnectorTrouble",
        message: `${connector.config.endpoint} answered without a resource`,
      };
    }
    if (!hasEnded(resource)) return { kind: "seen", resource };
    const declares = declaresOutputs(context.task.taskTemplate);
    if (resource.outputs && declares) {
      const bytes = toBinary(OutputsSchema, message(OutputsSchema, resource.outputs));
      await objectStore.put(`${context.places.attemptUri}/outputs.pb`, bytes);
    }
    return { kind: "seen", resource, results: await readResults(objectStore, context.places.attemptUri) };
  }

  async function notSeen(connector: Connector, note: Made, refusal: Refusal): Promise<Outcome> {
    const { endpoint } = connector.config;
    const category = { name: note.taskType, version: note.version };
    switch (refusal.kind) {
      case "away":
        return { kind: "later", away: refusal.message, ...unreachable(endpoint, refusal.message) };
      case "slow":
        return { kind: "later", ...slow(endpoint) };
      case "refused":
        return { kind: "failed", error: refused(endpoint, refusal), gone: false };
      case "notFound": {
        if ((await directory.serves(connector, category)) !== true)
          return { kind: "later", ...lostType(endpoint, category) };
        const text = `the connector ${endpoint} does not know the attempt's resource any more: ${refusal.message}`;
        return { kind: "failed", error: problem("ResourceLost", text, "system", true), gone: true };
      }
    }
    const text = `the connector ${endpoint} cannot say what became of the resource: ${refusal.message}`;
    return { kind: "trouble", reason: "ConnectorTrouble", message: text };
  }

  async function remove(context: AttemptContext, connector: Connector, note: Made): Promise<Outcome> {
    const { endpoint } = connector.config;
    const category = { name: note.taskType, version: note.version };
    const connection = await wireConnection(context);
    try {
      await connector.client.delete({ resourceMeta: note.meta, taskCategory: category, connection });
      return { kind: "deleted" };
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.kind === "away")
        return { kind: "later", away: refusal.message, ...unreachable(endpoint, refusal.message) };
      if (refusal.kind === "slow") return { kind: "later", ...slow(endpoint) };
      if (refusal.kind === "notFound" && (await directory.serves(connector, category)) === true)
        return { kind: "deleted" };
      const text = `the connector ${endpoint} could not delete the resource: ${refusal.message}`;
      return { kind: "trouble", reason: "ConnectorDeleteFailed", message: text };
    }
  }

  async function readInputs({ places }: AttemptContext, maxBytes: number): Promise<Inputs> {
    if (places.inputUri === "") return message(InputsSchema);
    try {
      return fromBinary(InputsSchema, await objectStore.get(places.inputUri, { maxBytes }));
    } catch (error) {
      if (!(error instanceof ObjectTooLargeError)) throw error;
      const text = `the inputs have ${error.size} bytes, more than the ${maxBytes} that the connector takes in a message: pass large inputs as files, or raise maxRequestBytes of the connector`;
      throw new BadTaskError("RequestTooLarge", text);
    }
  }

  /** Values are read anew for each call: they are kept nowhere, and a secret that was renewed is used at once. */
  async function connectionOf({ lease, task }: AttemptContext): Promise<ConnectionArguments> {
    const spec = connectionSpec(task.taskTemplate);
    if (spec.secrets.length === 0) return { secrets: {}, configs: spec.configs };
    const { project = "", domain = "" } = lease.ref ?? {};
    const refs = spec.secrets.map(({ ref }) => ref);
    let values: (Uint8Array | undefined)[];
    try {
      values = await options.secrets.read({ project, domain }, refs);
    } catch (error) {
      throw new SecretsAwayError(error);
    }
    return { secrets: secretArguments(spec, values), configs: spec.configs };
  }

  async function wireConnection(context: AttemptContext) {
    const { secrets, configs } = await connectionOf(context);
    return { taskType: context.lease.taskType, secrets: { ...secrets }, configs: { ...configs } };
  }

  /** Turns what may pass, and what the task is to blame for, into outcomes. */
  const guarded =
    <Parts extends unknown[]>(call: (...parts: Parts) => Promise<Outcome>, gone: boolean) =>
    async (...parts: Parts): Promise<Outcome> => {
      try {
        return await call(...parts);
      } catch (error) {
        if (error instanceof StoreUnavailableError || error instanceof StoreFullError) {
          return { kind: "later", reason: "ObjectStoreAway", message: error.message };
        }
        if (error instanceof SecretsAwayError) return { kind: "later", reason: "SecretsAway", message: error.message };
        if (error instanceof ObjectNotFoundError) {
          const text = `the attempt's inputs are not there: ${error.message}`;
          return { kind: "failed", error: problem("InputsNotFound", text, "system", false), gone };
        }
        if (!(error instanceof BadTaskError)) throw error;
        if (gone) return { kind: "failed", error: problem(error.code, error.message, "user", false), gone };
        // A secret that was there when the resource was made: somebody may bring it back.
        return { kind: "trouble", reason: error.code, message: error.message };
      }
    };

  return { create: guarded(create, true), get: guarded(get, false), delete: guarded(remove, false), save };
}

/** What a connector calls the kind of task. */
export function categoryOf({ lease, task }: AttemptContext): Category {
  const template = task.taskTemplate;
  return { name: template?.type || lease.taskType, version: template?.taskTypeVersion ?? 0 };
}

/** A resource may exist of which nobody knows the name. */
export function uncertain(endpoint: string, why: string): AttemptError {
  const text = `nobody knows whether the connector ${endpoint} created a resource for this attempt, and it is not asked twice: ${why}; look for a resource that was left behind`;
  return problem("ConnectorCreateUncertain", text, "system", true);
}

export function problem(code: string, text: string, kind: AttemptError["kind"], recoverable: boolean): AttemptError {
  return { code, message: text, kind, recoverable };
}

class SecretsAwayError extends Error {
  override readonly name = "SecretsAwayError";
  constructor(cause: unknown) {
    super(`secrets cannot be read now: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function refused(endpoint: string, { code, message }: Extract<Refusal, { kind: "refused" }>): AttemptError {
  return problem("ConnectorRefused", `the connector ${endpoint} refused the task (${code}): ${message}`, "user", false);
}

function unreachable(endpoint: string, why: string) {
  return { reason: "ConnectorUnreachable", message: `the connector ${endpoint} cannot be reached: ${why}` };
}

function slow(endpoint: string) {
  return { reason: "ConnectorSlow", message: `the connector ${endpoint} does not answer in time` };
}

function lostType(endpoint: string, { name, version }: Category) {
  const message = `the connector ${endpoint} does not serve tasks of type "${name}" in version ${version} now`;
  return { reason: "ConnectorLostTaskType", message };
}

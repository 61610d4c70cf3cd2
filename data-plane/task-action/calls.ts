/**
 * The calls an object's life takes: create, status, and for its end one that lets go of it and one that deletes it.
 *
 * Promise: every write names the version it was made from, so that none is made over somebody else's.
 */
import {
  isKubernetesError,
  type KubernetesClient,
  type MergePatch,
  type ObjectMeta,
  type Resource,
} from "@flyte-ts/platform/kubernetes";
import { type Held, otherFinalizers } from "./held.ts";
import { endLabels, taskActionObject } from "./object.ts";
import {
  type TaskAction,
  type TaskActionSpec,
  type TaskActionStatus,
  taskActionFinalizer,
  taskActionResource,
} from "./task-action.ts";

export interface Calls {
  readonly resource: Resource<TaskAction>;
  /** Undefined: there is none. */
  get(address: Address): Promise<TaskAction | undefined>;
  /** Undefined: one of this name exists. */
  create(object: TaskAction): Promise<TaskAction | undefined>;
  writeStatus(held: Held, status: TaskActionStatus): Promise<ObjectMeta>;
  writeSpec(held: Held, spec: TaskActionSpec): Promise<ObjectMeta>;
  /** Makes the end of an object that stays be seen by label. */
  labelEnd(held: Held, endedAt: Date): Promise<ObjectMeta>;
  /** Whatever version there is, gone when this resolves (but for finalizers of others). */
  remove(address: Address & { resourceVersion?: string }): Promise<void>;
  /** For objects that stand for no attempt: says so in their status, once, and lets go of those that are deleted. */
  reject(address: Address, why: string, at: Date): Promise<void>;
}

export interface Address {
  readonly namespace: string;
  readonly name: string;
}

export function calls(client: KubernetesClient): Calls {
  const resource = client.resource<TaskAction>(taskActionResource);
  const patch = async ({ namespace, name, resourceVersion }: Held, metadata: object) => {
    const change = { metadata: { ...metadata, resourceVersion } } as MergePatch<TaskAction>;
    return (await resource.patch(name, change, { namespace })).metadata;
  };

  async function get({ namespace, name }: Address): Promise<TaskAction | undefined> {
    return unless("NotFound", resource.get(name, { namespace }));
  }

  /** Undefined when it is gone by that or before. */
  async function letGo({ metadata }: TaskAction): Promise<TaskAction | undefined> {
    const { name, namespace, resourceVersion, finalizers } = metadata;
    if (!finalizers?.includes(taskActionFinalizer)) return { metadata } as TaskAction;
    const others = otherFinalizers(metadata);
    const change = { metadata: { resourceVersion, finalizers: others.length > 0 ? others : null } };
    return unless(
      "NotFound",
      resource.patch(name, change as MergePatch<TaskAction>, namespace === undefined ? {} : { namespace }),
    );
  }

  return {
    resource,
    get,
    create: (object) => unless("AlreadyExists", resource.create(object)),
    async writeStatus({ namespace, name, resourceVersion }, status) {
      const object = taskActionObject({ namespace, name, resourceVersion }, { status });
      return (await resource.replace(object, { subresource: "status" })).metadata;
    },
    async writeSpec({ namespace, name, resourceVersion }, spec) {
      const found = await resource.get(name, { namespace });
      // A replacement without them would take labels and finalizers away.
      const metadata = { ...found.metadata, resourceVersion };
      return (await resource.replace(taskActionObject(metadata, { spec }))).metadata;
    },
    labelEnd: (held, endedAt) => patch(held, { labels: endLabels(endedAt) }),
    async remove({ namespace, name, resourceVersion }) {
      let known: TaskAction | undefined = taskActionObject(
        { namespace, name, finalizers: [taskActionFinalizer], ...(resourceVersion && { resourceVersion }) },
        {},
      );
      for (;;) {
        try {
          const left = await letGo(known);
          if (left && !left.metadata.deletionTimestamp) await unless("NotFound", resource.delete(name, { namespace }));
          return;
        } catch (error) {
          if (!isKubernetesError(error, "Conflict")) throw error;
          known = await get({ namespace, name });
          if (!known) return;
        }
      }
    },
    async reject(address, why, at) {
      const object = await get(address);
      if (!object) return;
      if (object.metadata.deletionTimestamp) {
        await letGo(object);
        return;
      }
      const reason = "InvalidSpec";
      if (object.status?.conditions?.some((one) => one.reason === reason)) return;
      const lastTransitionTime = at.toISOString();
      const conditions = [{ type: "Failed", status: "True", reason, message: why, lastTransitionTime }] as const;
      const { namespace, name } = address;
      await resource.patchStatus(name, { status: { phase: "failed", conditions: [...conditions] } }, { namespace });
    },
  };
}

/** Undefined when the call is refused for this reason. */
async function unless<T>(reason: "NotFound" | "AlreadyExists", call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isKubernetesError(error, reason)) return undefined;
    throw error;
  }
}

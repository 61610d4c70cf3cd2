/**
 * Sees to it that a namespace is there before an action's first object is made in it, with its quota and service account.
 *
 *     const keeper = namespaceKeeper({ client, log, quota: { "requests.cpu": "20" } });
 *     await keeper.prepare("flytesnacks-development", lease);
 *
 * Promise: may be called for every action and by many executors; a namespace that somebody else made is used as it is. One
 * that is being deleted is waited for: meanwhile `prepare` throws, and is to be repeated.
 */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type Clock, systemClock } from "@flyte-ts/core";
import { isKubernetesError, type KubeObject, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import type { Log } from "../executor/index.ts";

export interface NamespaceKeeperOptions {
  client: KubernetesClient;
  log: Log;
  /** Of each namespace, as in `spec.hard` of a ResourceQuota. */
  quota?: Readonly<Record<string, string>>;
  /** Of each namespace; Kubernetes itself makes one called "default", which this may be too. */
  serviceAccount?: {
    readonly name?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly imagePullSecrets?: readonly string[];
  };
  clock?: Clock;
}

export interface NamespaceKeeper {
  /** The lease is the one that an object is made for. */
  prepare(namespace: string, lease: Pick<LeasedAction, "ref">): Promise<void>;
}

/** Try again: it is on its way out, and will be made anew. */
export class NamespaceNotReadyError extends Error {
  override readonly name = "NamespaceNotReadyError";
  constructor(namespace: string) {
    super(`namespace "${namespace}" is being deleted: actions wait until it is gone and made anew`);
  }
}

interface NamespaceObject extends KubeObject {
  status?: { phase?: string };
}

const fieldManager = "flyte-ts";
const managedBy = "app.kubernetes.io/managed-by";
const objectName = "flyte-ts";
/** A namespace that was there is believed to be for so long. */
const believedMs = 30_000;

export function namespaceKeeper({
  client,
  log,
  quota,
  serviceAccount,
  clock = systemClock,
}: NamespaceKeeperOptions): NamespaceKeeper {
  const core = <T extends KubeObject>(plural: string, namespaced: boolean) =>
    client.resource<T>({ group: "", version: "v1", plural, namespaced });
  const namespaces = core<NamespaceObject>("namespaces", false);
  const quotas = core<KubeObject & { spec: { hard: object } }>("resourcequotas", true);
  const accounts = core<KubeObject & { imagePullSecrets?: { name: string }[] }>("serviceaccounts", true);
  const seen = new Map<string, number>();
  const underway = new Map<string, Promise<void>>();

  async function found(name: string): Promise<NamespaceObject | undefined> {
    try {
      return await namespaces.get(name);
    } catch (error) {
      if (isKubernetesError(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async function made(name: string, { ref }: Pick<LeasedAction, "ref">): Promise<NamespaceObject> {
    const annotations = { "flyte.org/project": ref?.project ?? "", "flyte.org/domain": ref?.domain ?? "" };
    try {
      const metadata = { name, labels: { [managedBy]: fieldManager }, annotations };
      const namespace = await namespaces.create({ apiVersion: "v1", kind: "Namespace", metadata });
      log.info({ namespace: name }, "a namespace was made for a project's actions");
      return namespace;
    } catch (error) {
      if (isKubernetesError(error, "AlreadyExists")) return namespaces.get(name);
      throw error;
    }
  }

  /** Repeated for namespaces that we made: whoever made it may have been stopped before this. */
  async function furnish(namespace: string): Promise<void> {
    const meta = (name: string) => ({ name, namespace, labels: { [managedBy]: fieldManager } });
    const apply = { fieldManager, force: true };
    if (quota) {
      const spec = { hard: { ...quota } };
      await quotas.apply({ apiVersion: "v1", kind: "ResourceQuota", metadata: meta(objectName), spec }, apply);
    }
    if (!serviceAccount) return;
    const { name = "default", annotations, imagePullSecrets } = serviceAccount;
    const metadata = { ...meta(name), ...(annotations && { annotations: { ...annotations } }) };
    const secrets = imagePullSecrets && { imagePullSecrets: imagePullSecrets.map((secret) => ({ name: secret })) };
    await accounts.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata, ...secrets }, apply);
  }

  async function look(name: string, lease: Pick<LeasedAction, "ref">): Promise<void> {
    const { metadata, status } = (await found(name)) ?? (await made(name, lease));
    if (metadata.deletionTimestamp || status?.phase === "Terminating") throw new NamespaceNotReadyError(name);
    if (metadata.labels?.[managedBy] === fieldManager) await furnish(name);
    seen.set(name, clock.now().getTime());
  }

  return {
    async prepare(name, lease) {
      const at = seen.get(name);
      if (at !== undefined && clock.now().getTime() - at < believedMs) return;
      const looking = underway.get(name) ?? look(name, lease).finally(() => underway.delete(name));
      underway.set(name, looking);
      await looking;
    },
  };
}

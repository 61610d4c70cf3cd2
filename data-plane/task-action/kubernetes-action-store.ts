/**
 * The action store of a Kubernetes cluster: one TaskAction object an attempt, in etcd, where it survives the executor.
 *
 *     const store = kubernetesActionStore({ client, cluster: "east", namespaceFor, namespaces: ["flyte"], objectStore, log });
 *
 * Promise: what was stored here is read here, at once; what others do to the objects is told by `changes`. Deleting an
 * object by hand aborts its attempt. An object that nobody can read fails its attempt and troubles no other. An action's
 * life takes four calls, and nothing of it stays.
 */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import {
  isKubernetesError,
  type KubernetesClient,
  type ListWatchEvent,
  listWatch,
  type ObjectMeta,
  type OwnerReference,
} from "@flyte-ts/platform/kubernetes";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { reconciler } from "@flyte-ts/platform/work-queue";
import {
  type ActionRecord,
  type ActionStore,
  type Log,
  type NewActionRecord,
  StaleRecordError,
  UnstorableError,
} from "../executor/index.ts";
import { calls } from "./calls.ts";
import { essence, type Held, heldObjects, isNewer } from "./held.ts";
import { keyedLock } from "./keyed-lock.ts";
import { ownSelector, taskActionMeta, taskActionName, taskActionObject } from "./object.ts";
import { deleted, ending, recordOf, strangeness, vanished } from "./read-object.ts";
import { noNamespace, refusalOf, tooLarge } from "./refusal.ts";
import { rejections } from "./rejections.ts";
import { keyOfSpec, leaseStub, specOf } from "./spec.ts";
import { initialState, statusOf } from "./status.ts";
import { type TaskAction, taskActionApiVersion, taskActionFinalizer, taskActionKind } from "./task-action.ts";
import { templates } from "./templates.ts";
import { toldKeys } from "./told-keys.ts";

export interface KubernetesActionStoreOptions {
  client: KubernetesClient;
  /** The executor's, as the control plane calls it: objects of other clusters' executors are not touched. */
  cluster: string;
  namespaceFor(lease: LeasedAction): string;
  /** Watched one by one; all of them when absent, which needs the rights for the whole cluster. */
  namespaces?: readonly string[];
  /** Makes the namespace that an object is about to be created in; throws while it cannot be used. */
  prepareNamespace?(namespace: string, lease: LeasedAction): Promise<void>;
  objectStore: Pick<ObjectStore, "get" | "put" | "delete">;
  log: Log;
  /** An attempt's end is written when its record has not been deleted by then: its plugin would find it again. */
  endDelayMs?: number;
}

export interface KubernetesActionStore extends ActionStore {
  /** Follows the objects; everything else waits for its first list. */
  run(signal: AbortSignal): Promise<void>;
  /** For what belongs to an attempt and is to go with it. */
  ownerOf(key: string): OwnerReference | undefined;
}

export function kubernetesActionStore(options: KubernetesActionStoreOptions): KubernetesActionStore {
  const { client, cluster, log } = options;
  const endDelayMs = options.endDelayMs ?? 1_000;
  const api = calls(client);
  const held = heldObjects();
  const lock = keyedLock();
  const told = toldKeys();
  const largeTemplates = templates(options.objectStore, log);
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => {});
  let isReady = false;
  /** Ends what waits for the object store. */
  let stop = AbortSignal.abort();
  const rejected = rejections({ api, log });
  const ends = reconciler({
    reconcile: (key) => lock.run(key, () => writeEnd(key)),
    // Where calls are slow, most are deleted before their turn comes, and their ends need not be written at all.
    concurrency: 2,
    onError: (key, error) => log.warn({ attempt: key, err: error }, "an attempt's end could not be stored yet"),
  });
  const watches = (options.namespaces ?? [undefined]).map((namespace) =>
    listWatch<TaskAction>({
      resource: api.resource,
      ...(namespace === undefined ? {} : { namespace }),
      labelSelector: ownSelector(cluster),
      log,
      onEvent,
    }),
  );

  function onEvent(event: ListWatchEvent<TaskAction>): void {
    if (event.type === "synced") return;
    const { metadata, spec } = event.object;
    const object = { ...event.object };
    // The watch keeps its copy for as long as the object lives; what is in it is kept in the record.
    Object.assign(event.object, { metadata: essence(metadata), spec: undefined, status: undefined });
    if (event.type === "deleted") went(metadata.uid ?? "", event.missed);
    else if (spec?.cluster === cluster) noticed(object);
  }

  /** Most of what a watch tells are our own writes. */
  function isNews({ uid = "", resourceVersion }: ObjectMeta, of: Held | undefined): boolean {
    if (held.isBuried(uid) || of?.gone) return false;
    return of?.uid !== uid || isNewer(resourceVersion, of.resourceVersion);
  }

  function noticed(object: TaskAction): void {
    const { namespace = "", name } = object.metadata;
    const key = keyOfSpec(object.spec);
    const why =
      key === undefined ? "its spec names no attempt" : strangeness(object, taskActionName(leaseStub(object.spec)));
    if (key === undefined || why !== undefined) {
      rejected.add({ namespace, name }, why ?? "");
      return;
    }
    if (!lock.busy(key) && !isNews(object.metadata, held.get(key))) return;
    lock
      .run(key, () => take(object, key))
      .catch((error) =>
        log.error({ attempt: key, err: error }, "a TaskAction that was changed could not be taken over"),
      );
  }

  /** Reads an object that is not as this store left it. Under the key's lock. */
  async function take(object: TaskAction, key: string): Promise<void> {
    const { metadata, spec } = object;
    const known = held.get(key);
    if (!isNews(metadata, known)) return;
    if (known && known.uid !== metadata.uid) {
      log.warn({ attempt: key, namespace: metadata.namespace }, "another TaskAction of an attempt is ignored");
      return;
    }
    // Let go of already: what is left of it is held by others.
    if (!known && metadata.deletionTimestamp && !metadata.finalizers?.includes(taskActionFinalizer)) return;
    const record = await recordOf(object, key, known, (ref) => largeTemplates.read(ref, stop));
    if (known) {
      held.change(known, record);
      held.seen(known, metadata);
      told.add(key);
      return;
    }
    held.add(record, metadata, spec.taskTemplateRef);
    // Whoever made it later than the first list: it is worked on when the control plane leases it, or to end it.
    if (isReady && record.ending) told.add(key);
  }

  function went(uid: string, missed: boolean): void {
    const key = held.keyOf(uid);
    if (key === undefined) return;
    // After what was told before, and waits for a call in progress.
    void lock.run(key, async () => {
      held.unbury(uid);
      const of = held.get(key);
      if (of?.uid === uid) lose(of, missed);
    });
  }

  /** The record stays until its work is ended and reported. */
  function lose(of: Held, missed: boolean): void {
    if (of.gone) return;
    of.gone = true;
    held.change(of, ending(of.record, missed ? vanished(of) : deleted(of)));
    told.add(of.record.key);
  }

  /** After a conflict, or when nobody knows what became of a write. Under the key's lock. */
  async function refresh(of: Held): Promise<TaskAction | undefined> {
    const object = await api.get(of);
    if (object?.metadata.uid !== of.uid) {
      lose(of, true);
      return undefined;
    }
    await take(object, of.record.key);
    return object;
  }

  /** A write from the version that is known; what others did in between is taken over, and makes it stale. */
  async function write(of: Held, call: () => Promise<ObjectMeta>, isDone: (object: TaskAction) => boolean) {
    try {
      held.seen(of, await call());
    } catch (error) {
      if (!isKubernetesError(error)) throw error;
      if (error.reason !== "Conflict" && error.reason !== "NotFound") throw refusalOf(error) ?? error;
      const object = await refresh(of);
      // It was ours: its answer had got lost on the way, and the client had tried again.
      if (!object || !isDone(object)) throw new StaleRecordError(of.record.key);
    }
  }

  async function writeStatus(of: Held, record: NewActionRecord): Promise<void> {
    const status = statusOf(record, record.lease);
    await write(
      of,
      () => api.writeStatus(of, status),
      (object) => isEqual(statusOf(of.record, of.record.lease), status) && object.status !== undefined,
    );
    of.dirty = false;
  }

  async function writeSpec(of: Held, lease: LeasedAction): Promise<void> {
    const ref = await largeTemplates.put(lease);
    const spec = specOf(lease, cluster, ref);
    await write(
      of,
      () => api.writeSpec(of, spec),
      (object) => isEqual(object.spec, spec),
    );
    if (ref) of.templateRef = ref;
  }

  /** Under the key's lock. */
  async function writeEnd(key: string): Promise<undefined> {
    const of = held.get(key);
    if (!of?.dirty || of.gone) return;
    await writeStatus(of, of.record);
    const endedAt = of.record.transitions.at(-1)?.at;
    if (endedAt)
      await write(
        of,
        () => api.labelEnd(of, endedAt),
        () => false,
      );
  }

  async function create(record: NewActionRecord): Promise<ActionRecord> {
    const { key, lease } = record;
    const known = held.get(key);
    if (known) return known.record;
    const namespace = options.namespaceFor(lease);
    const templateRef = await largeTemplates.put(lease);
    const object = taskActionObject(taskActionMeta(lease, cluster, namespace), {
      spec: specOf(lease, cluster, templateRef),
    });
    const refused = tooLarge(object, key);
    if (refused) throw refused;
    const made = await createIn(namespace, object, lease);
    if (!made) return adopt(object, key);
    const of = held.add({ ...record, ...initialState(lease) }, made.metadata, templateRef);
    if (isEqual(statusOf(record, lease), statusOf(of.record, lease))) return of.record;
    await writeStatus(of, record);
    return held.change(of, record);
  }

  async function createIn(namespace: string, object: TaskAction, lease: LeasedAction): Promise<TaskAction | undefined> {
    try {
      await options.prepareNamespace?.(namespace, lease);
      return await api.create(object);
    } catch (error) {
      if (!isKubernetesError(error)) throw error;
      // Nobody makes it: an attempt would wait for ever.
      if (!options.prepareNamespace && error.reason === "NotFound") throw noNamespace(error);
      throw refusalOf(error) ?? error;
    }
  }

  /** The object exists: from a call whose answer got lost, or from somebody else. */
  async function adopt({ metadata }: TaskAction, key: string): Promise<ActionRecord> {
    const { namespace = "", name } = metadata;
    const object = await api.get({ namespace, name });
    if (object?.spec?.cluster === cluster && keyOfSpec(object.spec) === key) await take(object, key);
    const of = held.get(key);
    if (of) return of.record;
    const still = `TaskAction ${namespace}/${name} exists and is not this attempt's`;
    // An older one of ours that is on its way out, held by somebody's finalizer.
    if (!object || held.isBuried(object.metadata.uid ?? "")) throw new Error(`${still} any more: waiting for its end`);
    const message = `${still} but cluster "${object.spec?.cluster}"'s: give every executor a namespace of its own`;
    throw new UnstorableError({ code: "NameTaken", message, kind: "system", recoverable: true });
  }

  async function update(record: ActionRecord): Promise<ActionRecord> {
    const of = held.get(record.key);
    if (of?.record.version !== record.version) throw new StaleRecordError(record.key);
    if (of.gone) return held.change(of, record);
    const { lease, ending: intent } = of.record;
    if (record.lease !== lease) await writeSpec(of, record.lease);
    else if (record.released && record.ending === intent) {
      of.dirty = true;
      ends.addAfter(record.key, endDelayMs);
      return held.change(of, record);
    }
    if (of.dirty || !isEqual(statusOf(record, record.lease), statusOf(of.record, lease))) await writeStatus(of, record);
    return held.change(of, record);
  }

  async function remove(key: string): Promise<void> {
    const of = held.get(key);
    if (!of) return;
    ends.forget(key);
    held.bury(of);
    await api.remove(of);
    held.remove(key);
    if (of.gone) held.unbury(of.uid);
    if (of.templateRef) await largeTemplates.remove(of.templateRef);
  }

  async function locked<T>(key: string, job: () => Promise<T>): Promise<T> {
    await ready.promise;
    return lock.run(key, job);
  }

  return {
    create: (record) => locked(record.key, () => create(record)),
    update: (record) => locked(record.key, () => update(record)),
    delete: (key) => locked(key, () => remove(key)),
    async get(key) {
      await ready.promise;
      return held.get(key)?.record;
    },
    async list() {
      await ready.promise;
      await lock.idle();
      return held.records();
    },
    changes: told.follow,
    ownerOf(key) {
      const of = held.get(key);
      if (!of || of.gone) return undefined;
      const { name, uid } = of;
      return {
        apiVersion: taskActionApiVersion,
        kind: taskActionKind,
        name,
        uid,
        controller: true,
        blockOwnerDeletion: true,
      };
    },
    async run(signal) {
      stop = signal;
      Promise.all(watches.map((watch) => watch.whenSynced())).then(async () => {
        await lock.idle();
        isReady = true;
        ready.resolve();
      }, ready.reject);
      await Promise.all([...watches, ends, rejected].map((part) => part.run(signal)));
    },
  };
}

/** Values made by the same function, so that their fields come in the same order. */
function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * What the store knows of its objects: their records, and which version of them it has seen or written itself.
 * No network, no clock.
 *
 * Promise: nothing of a deleted record stays, and no late word of the watch brings it back.
 */
import { lru } from "@flyte-ts/core";
import type { ObjectMeta } from "@flyte-ts/platform/kubernetes";
import type { ActionRecord, NewActionRecord } from "../executor/index.ts";
import type { TemplateRef } from "./spec.ts";
import { taskActionFinalizer } from "./task-action.ts";

export interface Held {
  record: ActionRecord;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  resourceVersion: string;
  /** Grows with each change of the spec. */
  generation: number;
  templateRef?: TemplateRef;
  /** The record is ahead of the object. */
  dirty: boolean;
  /** There is no object any more, only this record. */
  gone: boolean;
}

export interface HeldObjects {
  get(key: string): Held | undefined;
  /** Also of an object that was deleted by us and is not yet seen to be. */
  keyOf(uid: string): string | undefined;
  records(): ActionRecord[];
  add(record: NewActionRecord, metadata: ObjectMeta, templateRef: TemplateRef | undefined): Held;
  /** A new version of the record; nothing is said of the object. */
  change(held: Held, record: NewActionRecord): ActionRecord;
  /** What the API server answered to a write, or told. */
  seen(held: Held, metadata: ObjectMeta): void;
  /** From now on nothing is taken for true of this object. */
  bury(held: Held): void;
  isBuried(uid: string): boolean;
  /** The watch saw it go. */
  unbury(uid: string): void;
  remove(key: string): void;
}

/** Deleted by us, not yet seen to be deleted: more at once than a cluster deletes in the time a watch lags. */
const mostBuried = 16_384;

export function heldObjects(): HeldObjects {
  const byKey = new Map<string, Held>();
  const byUid = new Map<string, string>();
  const buried = lru<string, string>(mostBuried);
  let versions = 0;
  const versioned = (record: NewActionRecord): ActionRecord => {
    versions += 1;
    return { ...record, version: String(versions) };
  };

  function seen(held: Held, metadata: ObjectMeta): void {
    held.resourceVersion = metadata.resourceVersion ?? held.resourceVersion;
    held.generation = metadata.generation ?? held.generation;
  }

  return {
    get: (key) => byKey.get(key),
    keyOf: (uid) => byUid.get(uid) ?? buried.get(uid),
    records: () => Array.from(byKey.values(), ({ record }) => record),
    add(record, metadata, templateRef) {
      const { namespace = "", name, uid = "" } = metadata;
      const held: Held = {
        record: versioned(record),
        ...{ namespace, name, uid, resourceVersion: "", generation: 0, dirty: false, gone: false },
        ...(templateRef && { templateRef }),
      };
      seen(held, metadata);
      byKey.set(record.key, held);
      byUid.set(uid, record.key);
      return held;
    },
    change(held, record) {
      held.record = versioned(record);
      return held.record;
    },
    seen,
    bury: ({ uid, record }) => buried.set(uid, record.key),
    isBuried: (uid) => buried.get(uid) !== undefined,
    unbury: (uid) => buried.delete(uid),
    remove(key) {
      const held = byKey.get(key);
      if (held) byUid.delete(held.uid);
      byKey.delete(key);
    },
  };
}

/** Versions are numbers that grow; of others, another one is taken for a newer one. */
export function isNewer(version: string | undefined, than: string): boolean {
  if (version === undefined || version === than) return false;
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return true;
  return version.length === than.length ? version > than : version.length > than.length;
}

/** What holds the object besides us. */
export function otherFinalizers({ finalizers }: ObjectMeta): string[] {
  return (finalizers ?? []).filter((one) => one !== taskActionFinalizer);
}

/** As much of an object's metadata as is needed to follow it. */
export function essence(metadata: ObjectMeta): ObjectMeta {
  const { name, namespace, uid, resourceVersion, generation, deletionTimestamp, finalizers } = metadata;
  return {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(generation !== undefined && { generation }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    ...(finalizers !== undefined && { finalizers }),
  };
}

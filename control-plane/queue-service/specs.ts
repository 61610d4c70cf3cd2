/** Task specs by digest, with the policy read from each. They never change, so they are kept while they are in use. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { AppError, lru, type TaskPolicy, taskPolicy } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { digestKey, loadSpecs, specDigest, storeSpecs } from "../task-service/index.ts";

export interface KnownSpec {
  digest: Buffer;
  bytes: Uint8Array;
  policy: TaskPolicy;
}

export interface SpecCache {
  /** The spec as it will be stored; `stored` tells whether this process has seen it in the database. */
  fromWire(spec: TaskSpec): { spec: KnownSpec; stored: boolean };
  /** Writes specs that may be new; call `remember` once that is committed. */
  store(sql: Sql, specs: readonly KnownSpec[]): Promise<void>;
  remember(specs: readonly KnownSpec[]): void;
  load(sql: Sql, digests: readonly Uint8Array[]): Promise<Map<string, KnownSpec>>;
}

export function specCache({ systemRetries }: { systemRetries: number }): SpecCache {
  const known = lru<string, KnownSpec>(500);

  function learn(bytes: Uint8Array, digest: Buffer, spec: TaskSpec): KnownSpec {
    return { digest, bytes, policy: taskPolicy(spec, systemRetries) };
  }

  return {
    fromWire(spec) {
      const bytes = toBinary(TaskSpecSchema, spec);
      const digest = Buffer.from(specDigest(bytes));
      const found = known.get(digestKey(digest));
      return found ? { spec: found, stored: true } : { spec: learn(bytes, digest, spec), stored: false };
    },
    async store(sql, specs) {
      if (specs.length > 0)
        await storeSpecs(
          sql,
          specs.map(({ digest, bytes }) => ({ digest, spec: bytes })),
        );
    },
    remember(specs) {
      for (const spec of specs) known.set(digestKey(spec.digest), spec);
    },
    async load(sql, digests) {
      const result = new Map<string, KnownSpec>();
      const missing = new Map<string, Uint8Array>();
      for (const digest of digests) {
        const key = digestKey(digest);
        const found = known.get(key);
        if (found) result.set(key, found);
        else missing.set(key, digest);
      }
      if (missing.size === 0) return result;
      for (const [key, bytes] of await loadSpecs(sql, [...missing.values()])) {
        const spec = learn(
          bytes,
          Buffer.from(missing.get(key) ?? specDigest(bytes)),
          fromBinary(TaskSpecSchema, bytes),
        );
        known.set(key, spec);
        result.set(key, spec);
      }
      return result;
    },
  };
}

/** The policy of an action without a task spec (trace, condition): nothing is ever tried again. */
export const noPolicy: TaskPolicy = taskPolicy(create(TaskSpecSchema), 0);

export function requireSpec(specs: ReadonlyMap<string, KnownSpec>, digest: Uint8Array): KnownSpec {
  const spec = specs.get(digestKey(digest));
  if (!spec)
    throw new AppError("failed_precondition", `task spec ${digestKey(digest)} is gone from task_specs; restore it`);
  return spec;
}

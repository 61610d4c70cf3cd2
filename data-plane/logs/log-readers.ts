/**
 * Who reads which log now: readers leave marks in the object store, one small object for each log that is read, and
 * writers look at all marks together, so that a log which nobody reads costs nothing.
 *
 * Marks are hints: without them lines come later, never wrong.
 */
import { createHash } from "node:crypto";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { type Log, pause } from "../executor/index.ts";

/** How often a reader renews its mark, and how long a mark counts that nobody renews. */
export const RENEW_MS = 5_000;
const FRESH_MS = 15_000;
/** After that its reader has forgotten it. */
const STALE_MS = 120_000;
const LOOK_MS = 2_000;

type Store = Pick<ObjectStore, "root" | "put" | "list" | "delete">;

function folder({ root }: Pick<ObjectStore, "root">): string {
  return `${root}/_flyte_log_readers/`;
}

function markOf(attemptUri: string): string {
  return createHash("sha256").update(attemptUri).digest("hex").slice(0, 32);
}

/** Says that the log of this attempt is read now. */
export async function markRead(objectStore: Pick<Store, "root" | "put">, attemptUri: string): Promise<void> {
  // What a reader cannot mark comes later: no reason to end its reading.
  await objectStore.put(folder(objectStore) + markOf(attemptUri), Buffer.from(`${Date.now()}\n`)).catch(() => {});
}

export interface LogReaders {
  isRead(attemptUri: string): boolean;
  /** Looks for marks while `anybody` may be interested; `arrived` hears of logs that were not read before. */
  run(interest: { anybody(): boolean; arrived(): void }, signal: AbortSignal): Promise<void>;
}

export function logReaders({ objectStore, log }: { objectStore: Store; log: Log }): LogReaders {
  const marks = new Map<string, { etag: string; changedMs: number }>();
  let failed = false;

  async function look(): Promise<boolean> {
    const now = performance.now();
    let news = false;
    const there = new Set<string>();
    const stale: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await objectStore.list(folder(objectStore), after === undefined ? {} : { after });
      for (const { uri, etag } of page.objects) {
        const mark = uri.slice(uri.lastIndexOf("/") + 1);
        const known = marks.get(mark);
        there.add(mark);
        if (known?.etag === etag) {
          if (now - known.changedMs > STALE_MS) stale.push(uri);
          continue;
        }
        news ||= !known || now - known.changedMs > FRESH_MS;
        marks.set(mark, { etag, changedMs: now });
      }
      after = page.next;
      if (after === undefined) break;
    }
    for (const mark of marks.keys()) if (!there.has(mark)) marks.delete(mark);
    if (stale.length > 0) await objectStore.delete(stale);
    return news;
  }

  return {
    isRead(attemptUri) {
      if (marks.size === 0) return false;
      const mark = marks.get(markOf(attemptUri));
      return mark !== undefined && performance.now() - mark.changedMs < FRESH_MS;
    },
    async run({ anybody, arrived }, signal) {
      while (!signal.aborted) {
        try {
          if (anybody() && (await look())) arrived();
          failed = false;
        } catch (error) {
          if (!failed) log.warn({ err: error }, "nobody can see who reads logs; their lines come later until it works");
          failed = true;
        }
        await pause(LOOK_MS, signal);
      }
    },
  };
}

/** The key of a cache entry: what the client's key leaves open is where the entry is valid. */
import type { KnownRun } from "../run-service/run-cache.ts";

/**
 * The client's key covers task name, interface, inputs and cache version. Entries are shared inside a project and domain,
 * or by all when the run asks for the global scope.
 */
export function entryKey(
  run: Pick<KnownRun, "project" | "domain" | "globalCache">,
  taskName: string,
  clientKey: string,
): string {
  const scope = run.globalCache ? "*" : `${run.project}/${run.domain}`;
  return `${scope}:${taskName}:${clientKey}`;
}

/** True when an entry of that age may still be used; 0 means no limit. */
export function isFresh(createdAt: Date, maxAgeMs: number, now: Date): boolean {
  return maxAgeMs <= 0 || now.getTime() - createdAt.getTime() <= maxAgeMs;
}

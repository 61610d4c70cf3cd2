/** What the tests of this room share: waiting for a condition, cleaning up in order, a folder of one's own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestScope } from "../testing.ts";

/** Calls until it gives a value other than undefined or false. */
export async function eventually<T>(look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`still waiting for: ${look}`);
    await sleep(20);
  }
}

const cleanups = new WeakMap<object, (() => unknown)[]>();

/** Runs after the test, last registered first: node:test's own hooks would remove a folder before what lives in it. */
export function defer(t: Pick<TestScope, "after">, cleanup: () => unknown): void {
  const known = cleanups.get(t);
  if (known !== undefined) return void known.unshift(cleanup);
  const list = [cleanup];
  cleanups.set(t, list);
  t.after(async () => {
    const failures: unknown[] = [];
    for (const each of list) {
      try {
        await each();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  });
}

export async function temporaryFolder(t: Pick<TestScope, "after">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-pg-test-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

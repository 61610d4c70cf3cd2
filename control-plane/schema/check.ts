/**
 * Compares `schema.sql` with what the migrations make, on a database of its own; with `--write` renews it.
 *
 *     node control-plane/schema/check.ts --write
 */
import { readFile, writeFile } from "node:fs/promises";
import { type TestScope, testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { dumpSchema } from "./dump.ts";

const file = new URL("./schema.sql", import.meta.url);
const migrations = new URL("./migrations", import.meta.url).pathname;

/** The schema that the migrations make now. */
export async function migratedSchema(scope: TestScope): Promise<string> {
  return dumpSchema(await testDatabase(scope, { migrations }));
}

export async function committedSchema(): Promise<string> {
  return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
}

async function main(write: boolean): Promise<number> {
  const hooks: (() => Promise<void>)[] = [];
  try {
    const schema = await migratedSchema({ after: (hook) => void hooks.push(hook) });
    if (write) {
      await writeFile(file, schema);
      return 0;
    }
    if (schema === (await committedSchema())) return 0;
    console.error("control-plane/schema/schema.sql is not what the migrations make. Renew and review it:");
    console.error("  node control-plane/schema/check.ts --write");
    return 1;
  } finally {
    for (const hook of hooks) await hook();
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.includes("--write"));

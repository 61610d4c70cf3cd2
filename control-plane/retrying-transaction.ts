/**
 * A transaction that is repeated when another one was in its way (deadlock, serialization failure): PostgreSQL has rolled
 * it back whole, so the same body simply runs again. The body must leave nothing behind outside the database.
 *
 *     const rows = await retryingTransaction(database, (sql) => moveBoth(sql));
 */
import { setTimeout as sleep } from "node:timers/promises";
import { invalidArgument } from "@flyte-ts/core";
import {
  type Database,
  DatabaseUnavailableError,
  isSerializationFailure,
  type Sql,
  TransactionRolledBackError,
} from "@flyte-ts/platform/postgres";

const ATTEMPTS = 6;
const LONGEST_PAUSE_MS = 200;

export async function retryingTransaction<T>(database: Database, body: (sql: Sql) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.transaction(body);
    } catch (error) {
      if (!isSerializationFailure(error) || attempt === ATTEMPTS) throw withoutRefusedValue(error);
      // Two that met once meet again when both start over at the same moment.
      await sleep(Math.random() * Math.min(5 * 2 ** attempt, LONGEST_PAUSE_MS));
    }
  }
}

/**
 * True when a group may have failed by the fault of one of its items. A database that is away is nobody's fault, and one
 * that was contended so long will not be less so for single items.
 */
export function mayBeOneItemsFault(error: unknown): boolean {
  return !(error instanceof DatabaseUnavailableError) && !isSerializationFailure(error);
}

/** Values that no column takes: a NUL character, a number or a date out of range. */
const refusedValues = new Set(["22003", "22007", "22008", "22021", "22P05"]);

function withoutRefusedValue(error: unknown): unknown {
  const cause = error instanceof TransactionRolledBackError ? error.cause : error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (!refusedValues.has(code)) return error;
  const { message } = cause as Error;
  return invalidArgument(`the request holds a value that can not be stored (${message}); send it without`, { cause });
}

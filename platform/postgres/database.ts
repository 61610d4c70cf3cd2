/**
 * The door to PostgreSQL: a pool, transactions, and one shared connection for notifications. A lost database never
 * crashes the process; each failing call rejects with `DatabaseUnavailableError` and the next one reconnects.
 *
 * ```ts
 * const database = openDatabase({ url });
 * const { rows } = await database.query<{ id: bigint }>({ name: "next-id", text: "select nextval('ids') as id" });
 * await database.transaction(async (sql) => { await sql.query({ text: "delete from a where id = $1", values: [rows[0].id] }); });
 * ```
 */
import type { Writable } from "node:stream";
import pg from "pg";
import { isAfterFailure, TransactionRolledBackError, toDatabaseError } from "./errors.ts";
import { openListener } from "./listener.ts";
import { columnTypes } from "./types.ts";

export interface Statement {
  /** Prepares the statement once per connection under this name; a name stands for one text only. */
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
  /** How long to wait for the answer when it may take longer than the pool's statement timeout (migrations). */
  readonly timeoutMs?: number;
}

export interface Sql {
  query<R = Record<string, unknown>>(statement: Statement): Promise<{ rows: R[]; rowCount: number }>;
}

export interface Subscription {
  /** Settles when the first LISTEN is in effect (or the subscription was closed before). */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

export interface Database extends Sql {
  /** Begin, body, commit; rolls back and rethrows when the body throws. Statements of the body run one after another. */
  transaction<T>(body: (sql: Sql) => Promise<T>): Promise<T>;
  /**
   * Subscribes to a channel on the one shared notification connection. `onReconnect` is called each time listening
   * (re)starts, the first time included: earlier notifications may have been missed, so read the rows now.
   */
  listen(channel: string, onNotify: (payload: string) => void, onReconnect: () => void): Subscription;
  /** Resolves when the database answers; rejects with DatabaseUnavailableError or the signal's reason. */
  ping(signal?: AbortSignal): Promise<void>;
  /** For child tools; holds the password, so print it only through `redact()`. */
  readonly url: string;
  /** Ends all connections after the calls under way; may be called twice. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  /** Connections in the pool, 10 by default; the notification connection comes on top. */
  readonly max?: number;
  readonly applicationName?: string;
  /** Longest wait for a connection, 5 s by default. */
  readonly connectTimeoutMs?: number;
  /** Longest run of one statement, 30 s by default. */
  readonly statementTimeoutMs?: number;
  /** Server settings of every connection, such as `{ enable_hashjoin: "off" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Told about failures in the background: a lost idle connection, a lost or refused notification connection. */
  readonly onError?: (error: Error) => void;
}

/** Extra wait before the client gives up on an answer, so that the server's own statement timeout speaks first. */
const answerGraceMs = 5_000;

/** Opens the pool; connects on first use, so a database that is down shows in the first call. */
export function openDatabase(options: DatabaseOptions): Database {
  const {
    url,
    max = 10,
    applicationName = "flyte-ts",
    connectTimeoutMs = 5_000,
    statementTimeoutMs = 30_000,
  } = options;
  const onError = options.onError ?? (() => {});
  const connection: pg.ClientConfig = {
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: columnTypes,
    ...(options.settings && { options: asStartupOptions(options.settings) }),
  };
  // Statements of one transaction go out without waiting for the answers before them, unless the body waits.
  const pipelined: pg.ClientConfig & { pipeline: boolean } = { ...connection, pipeline: true };
  const pool = new pg.Pool({ ...pipelined, max, idleTimeoutMillis: 60_000 });
  pool.on("error", (error) => onError(error));
  // While a client is checked out the pool does not listen for its errors; an unheard 'error' would end the process.
  pool.on("connect", (client) => client.on("error", () => {}));
  const listener = openListener({
    createClient: () => new pg.Client({ ...connection, application_name: `${applicationName} listen` }),
    onError,
  });
  let closing: Promise<void> | undefined;

  async function checkOut(): Promise<pg.PoolClient> {
    try {
      return await pool.connect();
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async function run<R>(client: pg.ClientBase, { name, text, values, timeoutMs }: Statement) {
    gatherWrites(client);
    const query = {
      ...(name === undefined ? {} : { name }),
      text,
      ...(values === undefined ? {} : { values: values as unknown[] }),
      query_timeout: (timeoutMs ?? statementTimeoutMs) + answerGraceMs,
    };
    const result = await client.query<R & pg.QueryResultRow>(query);
    return { rows: result.rows as R[], rowCount: result.rowCount ?? 0, command: result.command };
  }

  async function query<R>(statement: Statement) {
    const client = await checkOut();
    try {
      const { rows, rowCount } = await run<R>(client, statement);
      client.release();
      return { rows, rowCount };
    } catch (error) {
      const known = toDatabaseError(error);
      client.release(known !== error);
      throw known;
    }
  }

  async function transaction<T>(body: (sql: Sql) => Promise<T>): Promise<T> {
    const client = await checkOut();
    let open = true;
    let committing = false;
    const sent: Promise<unknown>[] = [];
    const sql: Sql = {
      query: <R>(statement: Statement) => {
        if (!open) throw new Error("This transaction has ended; use the `sql` of a transaction only inside its body.");
        const result = run<R>(client, statement).then(
          ({ rows, rowCount }) => ({ rows, rowCount }),
          (error: unknown) => Promise.reject(toDatabaseError(error)),
        );
        sent.push(result);
        // A body need not wait for what it sends last: its failure turns the commit into a rollback, told below.
        result.catch(() => {});
        return result;
      },
    };
    try {
      // It can fail only with its connection, and then so does everything behind it.
      const begun = run(client, { text: "begin" });
      begun.catch(() => {});
      sent.push(begun);
      const value = await body(sql);
      open = false;
      committing = true;
      const { command } = await run(client, { text: "commit" });
      client.release();
      if (command === "ROLLBACK") throw new TransactionRolledBackError({ cause: await firstFailure(sent) });
      return value;
    } catch (error) {
      if (error instanceof TransactionRolledBackError) throw error;
      open = false;
      // Whoever waits may see only that the transaction had failed before; what failed it is the first one that was sent.
      const cause = isAfterFailure(error) ? await firstFailure(sent) : error;
      await Promise.allSettled(sent);
      const lost = committing || !(await rolledBack(client));
      client.release(lost);
      throw toDatabaseError(cause, { duringCommit: committing });
    }
  }

  async function rolledBack(client: pg.ClientBase): Promise<boolean> {
    try {
      await run(client, { text: "rollback" });
      return true;
    } catch {
      return false;
    }
  }

  async function ping(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const answer = query({ text: "select 1" });
    if (signal === undefined) return void (await answer);
    let abort = () => {};
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
    });
    try {
      await Promise.race([answer, aborted]);
    } finally {
      signal.removeEventListener("abort", abort);
      answer.catch(() => {});
    }
  }

  function close(): Promise<void> {
    closing ??= Promise.all([listener.close(), pool.end()]).then(() => {});
    return closing;
  }

  return { query, transaction, listen: listener.listen, ping, url, close };
}

/** Statements that are sent in one turn of the event loop leave in one write: a system call costs more than a statement. */
function gatherWrites(client: pg.ClientBase): void {
  const { stream } = (client as pg.ClientBase & { connection: { stream: Writable } }).connection;
  if (stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

async function firstFailure(sent: readonly Promise<unknown>[]): Promise<unknown> {
  for (const result of await Promise.allSettled(sent)) if (result.status === "rejected") return result.reason;
  return undefined;
}

/** In the form of PostgreSQL's `options` start-up parameter, where blanks and backslashes are escaped. */
function asStartupOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\ ]/g, "\\$&")}`)
    .join(" ");
}

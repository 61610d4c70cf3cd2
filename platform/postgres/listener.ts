/**
 * LISTEN/NOTIFY for the whole process on one dedicated connection, opened with the first subscription. When it is lost
 * it reconnects with backoff, listens again on every channel and only then tells the subscribers to read the rows:
 * a notification is a hint, never the truth.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Subscription } from "./database.ts";
import { DatabaseUnavailableError } from "./errors.ts";

export interface Listener {
  listen(channel: string, onNotify: (payload: string) => void, onReconnect: () => void): Subscription;
  close(): Promise<void>;
}

interface Entry {
  readonly channel: string;
  readonly onNotify: (payload: string) => void;
  readonly onReconnect: () => void;
  readonly markReady: () => void;
  /** Told of this connection. What comes before belongs to the rows that `onReconnect` makes it read, and a gap is before it. */
  told: boolean;
}

const firstDelayMs = 50;
const longestDelayMs = 5_000;
/** A peer that vanished without a word is noticed by an unanswered heartbeat. */
const heartbeatMs = 30_000;
const heartbeatAnswerMs = 10_000;

export function openListener(options: { createClient: () => pg.Client; onError: (error: Error) => void }): Listener {
  const { createClient, onError } = options;
  const entries = new Set<Entry>();
  const closed = new AbortController();
  let connected: pg.Client | undefined;
  let running: Promise<void> | undefined;

  function guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      onError(asError(error));
    }
  }

  async function start(client: pg.Client, some: Iterable<Entry>): Promise<void> {
    const list = [...some];
    for (const channel of new Set(list.map((entry) => entry.channel))) {
      await client.query(`listen ${pg.escapeIdentifier(channel)}`);
    }
    for (const entry of list) {
      if (!entries.has(entry)) continue;
      entry.markReady();
      entry.told = true;
      guarded(entry.onReconnect);
    }
  }

  async function serveOnce(): Promise<void> {
    const client = createClient();
    const lost = new Promise<Error | undefined>((resolve) => {
      client.on("error", resolve);
      client.on("end", () => resolve(undefined));
      closed.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    client.on("notification", ({ channel, payload }) => {
      for (const entry of [...entries]) {
        if (entry.told && entry.channel === channel) guarded(() => entry.onNotify(payload ?? ""));
      }
    });
    let heartbeat: NodeJS.Timeout | undefined;
    try {
      await client.connect();
      connected = client;
      await start(client, entries);
      const silent = new Promise<Error>((resolve) => {
        heartbeat = setInterval(() => {
          const beat = { text: "select 1", query_timeout: heartbeatAnswerMs };
          client.query(beat).catch((error: unknown) => resolve(asError(error)));
        }, heartbeatMs).unref();
      });
      const error = await Promise.race([lost, silent]);
      if (!closed.signal.aborted && entries.size > 0) throw error ?? new Error("Connection terminated unexpectedly");
    } finally {
      clearInterval(heartbeat);
      if (connected === client) connected = undefined;
      for (const entry of entries) entry.told = false;
      await client.end().catch(() => {});
    }
  }

  async function serve(): Promise<void> {
    let delay = firstDelayMs;
    while (!closed.signal.aborted && entries.size > 0) {
      const before = Date.now();
      try {
        await serveOnce();
      } catch (error) {
        const cause = asError(error);
        onError(new DatabaseUnavailableError(`notifications interrupted, ${cause.message}`, { cause }));
        if (Date.now() - before > longestDelayMs) delay = firstDelayMs;
        await sleep(delay * (0.5 + Math.random() / 2), undefined, { signal: closed.signal }).catch(() => {});
        delay = Math.min(delay * 2, longestDelayMs);
      }
    }
  }

  function ensureRunning(): void {
    if (running !== undefined || closed.signal.aborted) return;
    running = serve().finally(() => {
      running = undefined;
      // A subscription may have arrived between the last look and this moment.
      if (entries.size > 0) ensureRunning();
    });
  }

  function listen(channel: string, onNotify: (payload: string) => void, onReconnect: () => void): Subscription {
    let markReady = () => {};
    const ready = new Promise<void>((resolve) => {
      markReady = resolve;
    });
    const entry: Entry = { channel, onNotify, onReconnect, markReady, told: false };
    entries.add(entry);
    // A failure here also ends the connection, and the next one starts every entry again.
    if (connected !== undefined) start(connected, [entry]).catch(() => {});
    else ensureRunning();
    return { ready, close: () => stop(entry) };
  }

  async function stop(entry: Entry): Promise<void> {
    if (!entries.delete(entry)) return;
    entry.markReady();
    if (connected === undefined) return;
    if (entries.size === 0) await connected.end().catch(() => {});
    else if (![...entries].some(({ channel }) => channel === entry.channel)) {
      await connected.query(`unlisten ${pg.escapeIdentifier(entry.channel)}`).catch(() => {});
    }
  }

  async function close(): Promise<void> {
    closed.abort();
    for (const entry of entries) entry.markReady();
    entries.clear();
    await running;
  }

  return { listen, close };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** A PostgreSQL of the test's own, on a TCP port, that can go away and come back with its data. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EmbeddedPostgres, openDatabase, startEmbeddedPostgres } from "@flyte-ts/platform/postgres";
import type { Scope } from "./server.ts";

export interface OwnDatabase {
  /** Of the database `flyte`, or of another one on this server. */
  url(database?: string): string;
  create(database: string): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

const silent = { info() {}, warn() {}, error() {} };

export async function ownDatabase(t: Pick<Scope, "after">): Promise<OwnDatabase> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-pg-"));
  await chmod(folder, 0o711);
  const port = await freePort();
  const start = () => startEmbeddedPostgres({ dataDir: join(folder, "postgres"), log: silent, port, durable: false });
  let running: EmbeddedPostgres | undefined;
  t.after(async () => {
    await running?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  running = await start();
  const { username, password } = new URL(running.url);
  const url = (database = "flyte") => `postgres://${username}:${password}@127.0.0.1:${port}/${database}`;
  return {
    url,
    async create(database) {
      const admin = openDatabase({ url: url(), max: 1 });
      await admin.query({ text: `create database ${database}` });
      await admin.close();
    },
    async stop() {
      await running?.stop();
      running = undefined;
    },
    async start() {
      running = await start();
    },
  };
}

/** One that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}

/** For tests: a process that owns an embedded server, `node server-owner.ts <dataDir>`; prints one line when it is ready. */
import { openDatabase } from "../database.ts";
import { startEmbeddedPostgres } from "../embedded/start-embedded-postgres.ts";

const log = { info: () => {}, warn: () => {}, error: () => {} };
const server = await startEmbeddedPostgres({ dataDir: process.argv[2] ?? "", log });
const database = openDatabase({ url: server.url });
await database.query({ text: "create table if not exists kept as select 1 as one" });
console.log(JSON.stringify({ pid: server.pid, url: server.url, socketDir: server.socketDir }));
process.stdin.resume().once("end", async () => {
  await database.close();
  await server.stop();
});

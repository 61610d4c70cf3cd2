/** What most tests of a file share: one server, its clients, and the Python client. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PythonClient, pythonClient } from "./python.ts";
import { type Scope, type ServerOptions, startServer, type TestServer } from "./server.ts";
import { connectWire, type Wire } from "./wire.ts";

export interface Stage {
  server: TestServer;
  wire: Wire;
  python: PythonClient;
  /** A folder that tasks see under the same path. */
  shared: string;
}

export async function setStage(t: Scope, options: ServerOptions = {}): Promise<Stage> {
  const shared = await mkdtemp(join(tmpdir(), "flyte-ts-shared-"));
  const server = await startServer(t, options);
  const python = await pythonClient(t, () => server.url);
  t.after(() => rm(shared, { recursive: true, force: true }));
  return { server, wire: connectWire(server.url), python, shared };
}

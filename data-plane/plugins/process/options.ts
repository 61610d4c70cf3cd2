/** What the process plugin is made of. */
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Log } from "../../executor/index.ts";
import type { LogStore } from "../../logs/index.ts";

export interface ProcessOptions {
  /** Attempts, bundles and the tasks' home live below it. Absolute. */
  dataDir: string;
  objectStore: Pick<ObjectStore, "get" | "head" | "put" | "stream" | "list">;
  logs: LogStore;
  log: Log;
  /** The Python interpreter whose folder holds `a0`; goes first on the tasks' PATH. */
  python?: string;
  /** Endpoint and storage variables of this server, asked for at each start. */
  taskEnvironment(): Readonly<Record<string, string>>;
  /** Between SIGTERM and SIGKILL. */
  graceMs?: number;
  /** Leaves the folders of ended attempts on disk, to look into. */
  keepFolders?: boolean;
}

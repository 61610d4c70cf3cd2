/**
 * The control plane as a server of its own: any number of replicas on one database and one object store. Executors dial in.
 */
import { DataProxyService } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { systemClock } from "@flyte-ts/core";
import { dataProxyService } from "@flyte-ts/data-plane/data-proxy";
import { logStore } from "@flyte-ts/data-plane/logs";
import { ConfigError } from "@flyte-ts/platform/config";
import type { Server } from "./all-in-one.ts";
import { type FoundationOptions, layFoundation } from "./foundation.ts";
import { background, stack } from "./stack.ts";

export async function startControlPlane(options: Omit<FoundationOptions, "dataDir">): Promise<Server> {
  const { config, log } = options;
  const missing = [
    ...(config.databaseUrl ? [] : ["--database-url (a PostgreSQL ≥ 15)"]),
    ...(config.objectStore.url ? [] : ["--object-store (an S3 bucket, s3://…)"]),
  ];
  if (missing.length > 0) {
    throw new ConfigError(
      `a control plane of its own shares its state with replicas and executors: give ${missing.join(" and ")}, or use \`flyte-ts up\`, which brings both`,
    );
  }
  const parts = stack();
  try {
    const { control, objects, url, listen } = await layFoundation(options, parts);
    // Attempts run elsewhere: logs are read from the object store.
    const logs = logStore({ objectStore: objects, clock: systemClock, log });
    await listen((router) => {
      control.routes(router);
      router.service(DataProxyService, dataProxyService({ directory: control.directory, objects, logs }));
    });
    const work = background(log, [control.run]);
    parts.push(work.stop);
    return { url: url(), failed: work.failed, stop: () => parts.unwind() };
  } catch (error) {
    await parts.unwind();
    throw error;
  }
}

/** A configuration that may be printed: without passwords in URLs and without keys. */
import type { Config } from "./schema.ts";

const hidden = "[redacted]";

export function redacted<T extends Pick<Config, "databaseUrl" | "objectStore" | "telemetry">>(config: T): T {
  const { accessKeyId, secretAccessKey } = config.objectStore;
  return {
    ...config,
    ...(config.databaseUrl !== undefined && { databaseUrl: withoutSecrets(config.databaseUrl) }),
    objectStore: {
      ...config.objectStore,
      ...(config.objectStore.endpoint !== undefined && { endpoint: withoutSecrets(config.objectStore.endpoint) }),
      ...(accessKeyId !== undefined && { accessKeyId: hidden }),
      ...(secretAccessKey !== undefined && { secretAccessKey: hidden }),
    },
    telemetry: {
      ...config.telemetry,
      ...(config.telemetry.otlpEndpoint !== undefined && {
        otlpEndpoint: withoutSecrets(config.telemetry.otlpEndpoint),
      }),
    },
  };
}

/** PostgreSQL takes the password as a parameter too; of a query only harmless names are kept. */
function withoutSecrets(text: string): string {
  const url = new URL(text);
  if (url.password !== "") url.password = "redacted";
  for (const name of [...url.searchParams.keys()]) {
    if (/pass|secret|token|key|sig/i.test(name)) url.searchParams.set(name, "redacted");
  }
  return url.toString();
}

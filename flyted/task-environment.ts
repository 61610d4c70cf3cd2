/** How tasks reach the server and the object store: variables of the SDK. */
import type { Config } from "@flyte-ts/platform/config";

/** `url` as tasks reach it. */
export function taskEndpoint(url: string): Record<string, string> {
  const { protocol, host } = new URL(url);
  return { _U_EP_OVERRIDE: host, ...(protocol === "http:" && { _U_INSECURE: "true" }) };
}

export function storeEnvironment(store: Config["objectStore"]): Record<string, string> {
  return {
    ...(store.endpoint && { FLYTE_AWS_ENDPOINT: store.endpoint }),
    ...(store.accessKeyId && { FLYTE_AWS_ACCESS_KEY_ID: store.accessKeyId }),
    ...(store.secretAccessKey && { FLYTE_AWS_SECRET_ACCESS_KEY: store.secretAccessKey }),
    ...(store.region && { AWS_REGION: store.region }),
  };
}

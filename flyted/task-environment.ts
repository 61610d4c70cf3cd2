/** How tasks of this server reach the object store: variables of the SDK's storage client. */
import type { Config } from "@flyte-ts/platform/config";

export function storeEnvironment(
  store: Config["objectStore"],
  url: string,
  embedded: { accessKeyId: string; secretAccessKey: string },
): Record<string, string> {
  if (!store.url) {
    return {
      FLYTE_AWS_ENDPOINT: url,
      FLYTE_AWS_ACCESS_KEY_ID: embedded.accessKeyId,
      FLYTE_AWS_SECRET_ACCESS_KEY: embedded.secretAccessKey,
      AWS_REGION: "us-east-1",
    };
  }
  return {
    ...(store.endpoint && { FLYTE_AWS_ENDPOINT: store.endpoint }),
    ...(store.accessKeyId && { FLYTE_AWS_ACCESS_KEY_ID: store.accessKeyId }),
    ...(store.secretAccessKey && { FLYTE_AWS_SECRET_ACCESS_KEY: store.secretAccessKey }),
    ...(store.region && { AWS_REGION: store.region }),
  };
}

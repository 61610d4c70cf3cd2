/** Where payloads are, as the control plane tells its executors. */
import { create } from "@bufbuild/protobuf";
import {
  type ObjectStoreAccess,
  ObjectStoreAccessSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { Config } from "@flyte-ts/platform/config";

/** The embedded store's bucket and region: names only, nothing of Amazon's. */
const EMBEDDED = { url: "s3://flyte-data", region: "us-east-1" };

/** Keys of a store that is not ours are never handed out: executors have their own. */
export function objectStoreAccess(
  store: Config["objectStore"],
  embedded: { accessKeyId: string; secretAccessKey: string } | undefined,
): ObjectStoreAccess {
  if (store.url) {
    return create(ObjectStoreAccessSchema, {
      url: store.url,
      endpoint: store.endpoint ?? "",
      region: store.region ?? "",
    });
  }
  return create(ObjectStoreAccessSchema, { ...EMBEDDED, ...embedded, embedded: true });
}

/**
 * The store an executor works with: its own configuration wins, key by key; the embedded one is reached where the control
 * plane is.
 */
export function executorStore(
  own: Config["objectStore"],
  told: ObjectStoreAccess | undefined,
  controlPlaneUrl: string,
): Config["objectStore"] {
  const endpoint = told?.embedded ? told.endpoint || controlPlaneUrl : told?.endpoint;
  return {
    ...(told?.url && { url: told.url }),
    ...(endpoint && { endpoint }),
    ...(told?.region && { region: told.region }),
    ...(told?.accessKeyId && { accessKeyId: told.accessKeyId }),
    ...(told?.secretAccessKey && { secretAccessKey: told.secretAccessKey }),
    ...own,
  };
}

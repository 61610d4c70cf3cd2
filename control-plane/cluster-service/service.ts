/**
 * `ClusterService`: where a client finds the data plane of a resource. The address is left empty, which tells clients to
 * stay on the connection they have: our data proxy answers on the same port.
 *
 * Clients ask before every data-plane call and give up on an error, so this never fails: the name of the cluster is for
 * people, and where it cannot be found out it is left empty.
 */

import type { ServiceImpl } from "@connectrpc/connect";
import type { SelectClusterRequest } from "@flyte-ts/contract/flyteidl2/cluster/payload_pb.ts";
import type { ClusterService } from "@flyte-ts/contract/flyteidl2/cluster/service_pb.ts";

/** What a client wants to work with; `case` is undefined when the request names nothing we know. */
export type ClusterResource = SelectClusterRequest["resource"];

export interface ClusterServiceOptions {
  /** The cluster that holds a resource; the one of this machine unless told. */
  clusterOf?: (resource: ClusterResource) => string | Promise<string>;
  /** Told when `clusterOf` failed; the client is answered all the same. */
  onError?: (error: unknown, resource: ClusterResource) => void;
}

const EMBEDDED_CLUSTER = "embedded";

export function clusterService(options: ClusterServiceOptions = {}): ServiceImpl<typeof ClusterService> {
  const { clusterOf = () => EMBEDDED_CLUSTER, onError = () => {} } = options;
  return {
    async selectCluster({ resource }) {
      try {
        return { clusterEndpoint: "", cluster: await clusterOf(resource) };
      } catch (error) {
        onError(error, resource);
        return { clusterEndpoint: "", cluster: "" };
      }
    },
  };
}

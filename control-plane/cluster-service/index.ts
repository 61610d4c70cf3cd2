/** Where a client finds the data plane of a resource. */
export { type ClusterResource, type ClusterServiceOptions, clusterService, EMBEDDED_CLUSTER } from "./service.ts";

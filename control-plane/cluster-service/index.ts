/** Where a client finds the data plane of a resource. */
export { type ClusterResource, type ClusterServiceOptions, clusterService } from "./service.ts";

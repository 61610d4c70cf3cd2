/** The one door for work, and the registry of clusters that take it. */
export { type ClusterLink, type ClusterLinkOptions, clusterLink } from "./cluster-link.ts";
export { type ConnectedClusters, connectedClusters } from "./connected-clusters.ts";
export { type Enqueue, type EnqueueItem, type EnqueueOptions, enqueue } from "./enqueue.ts";
export { type ExpiryOptions, watchExpiry } from "./expiry.ts";
export { type QueueServiceOptions, queueService } from "./service.ts";
export { type SpecCache, specCache } from "./specs.ts";
export { enqueueItem } from "./wire-action.ts";

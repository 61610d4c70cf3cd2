/** The one door for work, and the registry of clusters that take it. */
export { clusterAdminService } from "./cluster-admin-service.ts";
export { type ClusterLink, type ClusterLinkOptions, clusterLink } from "./cluster-link.ts";
export { clusterLinkService } from "./cluster-link-service.ts";
export { clusterRegistry } from "./cluster-registry.ts";
export { type ConnectedClusters, connectedClusters } from "./connected-clusters.ts";
export { type Enqueue, type EnqueueItem, type EnqueueOptions, enqueue } from "./enqueue.ts";
export { type ExpiryOptions, watchExpiry } from "./expiry.ts";
export { anyCluster, clusterOfAction, whyUnroutable } from "./explain.ts";
export { giveUpLost, watchClusters } from "./fencing.ts";
export { type QueueServiceOptions, queueService } from "./service.ts";
export { type Sessions, sessions } from "./sessions.ts";
export { type SpecCache, specCache } from "./specs.ts";
export { enqueueItem } from "./wire-action.ts";

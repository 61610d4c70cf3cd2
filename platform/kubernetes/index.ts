/** Kubernetes for the data plane: calls, live copies of objects, election of a leader. */
export {
  type CallSeen,
  type ClientOptions,
  type KubernetesClient,
  kubernetesClient,
  type Query,
  type Request,
} from "./client.ts";
export { isKubernetesError, KubernetesError, type KubernetesReason, type Verb } from "./errors.ts";
export { type Connection, type ConnectionOptions, KubeconfigError, loadConnection } from "./kubeconfig.ts";
export { type LeaderElection, type LeaderElectionOptions, leaderElection } from "./leader-election.ts";
export {
  type ListWatch,
  type ListWatchCounts,
  type ListWatchEvent,
  type ListWatchOptions,
  listWatch,
} from "./list-watch.ts";
export { type KubeObject, keyOf, type ObjectList, type ObjectMeta, type OwnerReference } from "./objects.ts";
export type {
  ApplyOptions,
  DeleteOptions,
  ListOptions,
  MergePatch,
  Place,
  Resource,
  ResourceDefinition,
  WriteOptions,
} from "./resource.ts";

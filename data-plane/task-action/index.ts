/** TaskAction objects: the action store of a Kubernetes cluster, and what is in it. */
export {
  type KubernetesActionStore,
  type KubernetesActionStoreOptions,
  kubernetesActionStore,
} from "./kubernetes-action-store.ts";
export {
  maxInlineTemplateBytes,
  type TaskAction,
  type TaskActionCondition,
  type TaskActionError,
  type TaskActionSpec,
  type TaskActionStatus,
  taskActionApiVersion,
  taskActionFinalizer,
  taskActionKind,
  taskActionResource,
} from "./task-action.ts";

/** The TaskAction object as it is stored in a cluster. */
export {
  maxInlineTemplateBytes,
  type TaskAction,
  type TaskActionCondition,
  type TaskActionError,
  type TaskActionSpec,
  type TaskActionStatus,
  taskActionApiVersion,
  taskActionKind,
  taskActionResource,
} from "./task-action.ts";

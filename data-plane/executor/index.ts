// For plugin rooms and other adapters of the action store.
export {
  type ActionRecord,
  type ActionStore,
  amend,
  type EndingIntent,
  type NewActionRecord,
  StaleRecordError,
  UnstorableError,
} from "./action-store.ts";
export {
  type AttemptError,
  type AttemptPhase,
  type AttemptPlaces,
  attemptKey,
  attemptPlaces,
  isTerminal,
  type Transition,
} from "./attempt.ts";
export type { ControlLink } from "./control-link.ts";
export type { Log } from "./log.ts";
export { memoryActionStore } from "./memory-action-store.ts";
export { pause } from "./pause.ts";
export type { AttemptContext, AttemptDetails, Ending, LearnedTaskTypes, Plugin, PluginState, Step } from "./plugin.ts";
export { type Executor, type ExecutorOptions, executor } from "./run-executor.ts";
export { inTurns, SupersededError } from "./turns.ts";

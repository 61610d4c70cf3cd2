/** Deployed, versioned task definitions, and the specifications they share with actions. */
export { type LatestRuns, type TaskServiceDependencies, taskNameKey, taskService } from "./service.ts";
export { digestKey, specDigest } from "./spec-digest.ts";
export { loadSpecs, type StoredSpec, storeSpecs } from "./spec-store.ts";
export { readTask } from "./store.ts";
export type { TaskKey, TaskNameKey } from "./task.ts";

/** Runs: create, read, list, watch, abort. */
export { type ActionData, actionData } from "./action-data.ts";
export { type ActionReader, actionReader } from "./action-reader.ts";
export { conditionOf } from "./action-view.ts";
export { type CreateRun, type CreateRunOptions, createRun } from "./create-run.ts";
export { latestRuns } from "./latest-runs.ts";
export { type RunCache, runCache } from "./run-cache.ts";
export { type RunServiceOptions, runService } from "./service.ts";

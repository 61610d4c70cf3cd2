/** Tasks that know nothing of Flyte: their inputs as files, their files as outputs; on this machine and in pods. */
export {
  type CopilotFlags,
  CopilotUsageError,
  downloadArgs,
  downloadJob,
  uploadArgs,
  uploadJob,
} from "./command.ts";
export { type CopilotParts, type CopilotStore, runDownload, runUpload } from "./program.ts";
export { type Settle, type Settled, settle } from "./settle.ts";
export { type StageInputs, stageInputs } from "./stage-inputs.ts";
export { StagingError } from "./staging-error.ts";

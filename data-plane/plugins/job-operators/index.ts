// What compositions use, then what is needed for a kind of one's own.
export { type JobConfig, jobConfig } from "./config.ts";
export type { JobKind, JobObject, JobRequest, JobSeen, Role, RolePod } from "./kind.ts";
export { jobKinds } from "./kinds.ts";
export { type KubernetesJobsOptions, kubernetesJobs } from "./kubernetes-jobs.ts";
export type { JobOptions } from "./options.ts";
export { jobPlugin } from "./plugin.ts";

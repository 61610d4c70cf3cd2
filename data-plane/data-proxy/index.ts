export { codeBundleUri } from "./code-bundle.ts";
export type { ActionDirectory, ActionRecord } from "./directory.ts";
export { type DataProxyLimits, defaultLimits } from "./limits.ts";
export { type DataProxyOptions, dataProxyService } from "./service.ts";

export type { ProcessOptions } from "./options.ts";
export { processPlugin } from "./plugin.ts";

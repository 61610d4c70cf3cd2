export { ConfigError, type ConfigSources, configFileName, isLoopback, loadConfig } from "./load.ts";
export { redacted } from "./redacted.ts";
export type { Config } from "./schema.ts";

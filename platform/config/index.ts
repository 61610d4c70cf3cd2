export { ConfigError, type ConfigSources, configFileName, isLoopback, loadConfig, readConfig } from "./load.ts";
export { redacted } from "./redacted.ts";
export { type Config, logSchema, objectStoreSchema, telemetrySchema, webUrl } from "./schema.ts";

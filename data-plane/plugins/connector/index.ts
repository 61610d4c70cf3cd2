export { type ConnectorConfig, connectorConfig } from "./config.ts";
export { type ConnectorOptions, connectorPlugin } from "./plugin.ts";

export { errorMapping, type RpcLog } from "./error-mapping.ts";
export type { Health } from "./health.ts";
export { type RpcMetrics, rpcMetrics } from "./metrics.ts";
export { requestIdKey, requestIdOf } from "./request-id.ts";
export { type HttpHandler, type RpcLimits, type RpcServer, type RpcServerOptions, startRpcServer } from "./server.ts";
export { requestValidation, type Validate, validation } from "./validation.ts";

/**
 * One connector service on the wire: gRPC over HTTP/2, plain or TLS. Every call ends by its time limit, and a peer that is
 * silently gone is noticed by pings.
 */
import { readFileSync } from "node:fs";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type {
  CreateTaskRequest,
  DeleteTaskRequestSchema,
  GetTaskRequestSchema,
  Resource,
  TaskCategory,
} from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { AsyncConnectorService, ConnectorMetadataService } from "@flyte-ts/contract/flyteidl2/connector/service_pb.ts";
import { pause } from "../../executor/index.ts";
import type { ConnectorConfig } from "./config.ts";

export interface ConnectorClient {
  create(request: CreateTaskRequest): Promise<Uint8Array>;
  get(request: MessageInitShape<typeof GetTaskRequestSchema>): Promise<Resource | undefined>;
  delete(request: MessageInitShape<typeof DeleteTaskRequestSchema>): Promise<void>;
  /** What all connectors of the service support. */
  list(signal?: AbortSignal): Promise<TaskCategory[]>;
  close(): void;
}

const PING_MS = 10_000;
/** Inline outputs and custom info; more than this belongs into the object store. */
const MAX_RESPONSE_BYTES = 64 << 20;

/** There is no connection to send a call over. */
export class NotConnectedError extends Error {
  override readonly name = "NotConnectedError";
}

/** Throws when `caFile` cannot be read. */
export function connectorClient(config: ConnectorConfig): ConnectorClient {
  const url = `${config.insecure ? "http" : "https"}://${config.endpoint}`;
  const sessions = new Http2SessionManager(
    url,
    { pingIntervalMs: PING_MS, pingTimeoutMs: PING_MS },
    config.insecure || config.caFile === undefined ? {} : { ca: readFileSync(config.caFile) },
  );
  const transport = createGrpcTransport({
    baseUrl: url,
    sessionManager: sessions,
    readMaxBytes: MAX_RESPONSE_BYTES,
  });
  const service = createClient(AsyncConnectorService, transport);
  const metadata = createClient(ConnectorMetadataService, transport);

  /** A call that fails here was never sent. */
  async function connected(): Promise<void> {
    const late = new AbortController();
    const state = await Promise.race([sessions.connect(), pause(config.getMs, late.signal)]);
    late.abort();
    if (state === undefined) sessions.abort();
    if (state === "open" || state === "idle") return;
    throw new NotConnectedError(state === undefined ? "it does not answer" : textOf(sessions.error()));
  }

  return {
    async create(request) {
      await connected();
      return (await service.createTask(request, { timeoutMs: config.createMs })).resourceMeta;
    },
    get: async (request) => (await service.getTask(request, { timeoutMs: config.getMs })).resource,
    async delete(request) {
      await service.deleteTask(request, { timeoutMs: config.deleteMs });
    },
    async list(signal) {
      const options = { timeoutMs: config.getMs, ...(signal ? { signal } : {}) };
      const { connectors } = await metadata.listConnectors({}, options);
      return connectors.flatMap(({ supportedTaskCategories }) => supportedTaskCategories);
    },
    close: () => sessions.abort(),
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

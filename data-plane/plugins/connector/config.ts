/**
 * How one connector service is reached and how hard it may be asked: the one list that file and documentation follow.
 *
 *     const config = connectorConfig.parse({ endpoint: "snowflake-connector:8000", insecure: true });
 */
import { z } from "zod";

const ms = z.int().min(1);
const text = z.string().min(1);

const endpoint = z
  .string()
  .transform((given) => given.replace(/^dns:\/\/\//, ""))
  .refine((given) => /^(\[[0-9a-fA-F:]+\]|[^\s:/[\]]+):\d{1,5}$/.test(given), "must be host:port, without a scheme");

export const connectorConfig = z.strictObject({
  endpoint: endpoint.describe("host:port of the gRPC service"),
  insecure: z.boolean().default(false).describe("plain HTTP/2 instead of TLS"),
  caFile: text.optional().describe("certificates to trust instead of the system's; PEM"),
  taskTypes: z.array(text).default([]).describe("served whatever the connector lists, in every version"),
  project: text.optional().describe("only for actions of this project; a more special connector goes first"),
  domain: text.optional().describe("only for actions of this domain"),
  concurrency: z.int().min(1).max(1000).default(16).describe("calls at the same moment"),
  callsPerSecond: z.number().positive().default(50),
  pollFirstMs: ms.default(1_000).describe("between two looks at a resource that has just changed"),
  pollMaxMs: ms.default(30_000).describe("between two looks at one that has not changed for long"),
  createMs: ms.default(60_000).describe("time limit of a CreateTask call"),
  getMs: ms.default(10_000).describe("of a GetTask call, also of ListConnectors"),
  deleteMs: ms.default(30_000).describe("of a DeleteTask call"),
  refreshMs: ms.default(60_000).describe("how often to ask for the task types"),
  awayFirstMs: ms.default(500).describe("first pause while the connector cannot be reached; doubles"),
  awayMaxMs: ms.default(30_000),
  troubleMs: ms.default(300_000).describe("how long a connector may fail to say what became of a resource"),
  deleteGiveUpMs: ms.default(600_000).describe("how long to try to delete a resource before it is left behind"),
  maxRequestBytes: z
    .int()
    .min(1024)
    .default(4 * 1024 * 1024)
    .describe("largest message that the connector takes; 4 MiB is what gRPC servers have by default"),
});

export type ConnectorConfig = z.infer<typeof connectorConfig>;

/** Typed clients of a running server, over its public port. */

import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { DataProxyService } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { ProjectService } from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { QueueService } from "@flyte-ts/contract/flyteidl2/workflow/queue_service_pb.ts";
import { RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";

export interface Wire {
  runs: Client<typeof RunService>;
  actions: Client<typeof ActionsService>;
  queue: Client<typeof QueueService>;
  data: Client<typeof DataProxyService>;
  projects: Client<typeof ProjectService>;
}

export const project = "flytesnacks";
export const domain = "development";

export function connectWire(url: string): Wire {
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
  return {
    runs: createClient(RunService, transport),
    actions: createClient(ActionsService, transport),
    queue: createClient(QueueService, transport),
    data: createClient(DataProxyService, transport),
    projects: createClient(ProjectService, transport),
  };
}

export const runId = (name: string) => ({ org: "", project, domain, name });
export const actionId = (run: string, name = "a0") => ({ run: runId(run), name });

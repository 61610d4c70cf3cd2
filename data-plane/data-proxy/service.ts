/**
 * DataProxyService: inputs, outputs, reports, bundles and logs, handed out beside the workload; the control plane only
 * knows their addresses. Each method lives in the file of its name.
 */
import type { ServiceImpl } from "@connectrpc/connect";
import type { DataProxyService } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import type { LogStore } from "@flyte-ts/data-plane/logs";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { getActionData } from "./action-data.ts";
import type { ActionDirectory } from "./directory.ts";
import { createDownloadLink } from "./download-link.ts";
import { type DataProxyLimits, defaultLimits } from "./limits.ts";
import { tailLogs } from "./tail-logs.ts";
import { uploadInputs } from "./upload-inputs.ts";
import { createUploadLocation } from "./upload-location.ts";

export interface DataProxyOptions {
  directory: ActionDirectory;
  objects: ObjectStore;
  logs: Pick<LogStore, "tail">;
  limits?: Partial<DataProxyLimits>;
}

export function dataProxyService(options: DataProxyOptions): ServiceImpl<typeof DataProxyService> {
  const deps = { ...options, limits: { ...defaultLimits, ...options.limits } };
  return {
    createUploadLocation: (request) => createUploadLocation(deps, request),
    uploadInputs: (request) => uploadInputs(deps, request),
    getActionData: (request) => getActionData(deps, request),
    createDownloadLink: (request) => createDownloadLink(deps, request),
    tailLogs: (request, context) => tailLogs(deps, request, context.signal),
  };
}

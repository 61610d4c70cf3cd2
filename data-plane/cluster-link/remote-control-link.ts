/**
 * The executor's link to a control plane elsewhere: the `ClusterLinkService` over one HTTP/2 connection, dialled from here.
 *
 *     const link = remoteControlLink({ url: "https://flyte.example.com" });
 *
 * Promise: a peer that is silently gone is noticed, by pings on the connection, and every call ends: an answer, a throw,
 * or its time limit.
 */
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import {
  ClusterLinkService,
  type ConnectResponse,
  type ObjectStoreAccess,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { aborted, failedPrecondition } from "@flyte-ts/core";
import type { ControlLink } from "../executor/index.ts";

export interface RemoteControlLinkOptions {
  /** Of the control plane: http:// (h2c) or https://. */
  url: string;
  /** Most time for a call that is no stream; 20 s. */
  callMs?: number;
  /** Silence after which the connection is tried by a ping; 10 s, and as long for the answer. */
  pingMs?: number;
}

export interface RemoteControlLink extends ControlLink {
  /** Where payloads are. */
  objectStore(cluster: string, signal: AbortSignal): Promise<ObjectStoreAccess | undefined>;
}

export function remoteControlLink({
  url,
  callMs = 20_000,
  pingMs = 10_000,
}: RemoteControlLinkOptions): RemoteControlLink {
  const service = createClient(
    ClusterLinkService,
    createConnectTransport({
      baseUrl: url,
      httpVersion: "2",
      useBinaryFormat: true,
      pingIntervalMs: pingMs,
      pingTimeoutMs: pingMs,
      // Between two calls too: the stream of leases is idle most of the time.
      pingIdleConnection: true,
    }),
  );
  return {
    connect: (request, signal) => withReasons(service.connect(request, { signal })),
    heartbeat: (request) => service.heartbeat(request, { timeoutMs: callMs }),
    report: (request) => service.report(request, { timeoutMs: callMs }),
    objectStore: async (cluster, signal) =>
      (await service.describe({ cluster }, { signal, timeoutMs: callMs })).objectStore,
  };
}

/** What the control plane has against the connection, told apart from a line that broke. */
async function* withReasons(responses: AsyncIterable<ConnectResponse>): AsyncIterable<ConnectResponse> {
  try {
    yield* responses;
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    if (code === Code.FailedPrecondition) throw failedPrecondition(rawMessage, { cause: error });
    if (code === Code.Aborted) throw aborted(rawMessage, { cause: error });
    throw error;
  }
}

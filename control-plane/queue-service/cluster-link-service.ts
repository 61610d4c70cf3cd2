/** ClusterLinkService: the cluster link over RPC. Its executors keep their session by heartbeats of their own. */
import type { ServiceImpl } from "@connectrpc/connect";
import type { ClusterLinkService } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ClusterLink } from "./cluster-link.ts";

export function clusterLinkService(link: ClusterLink): ServiceImpl<typeof ClusterLinkService> {
  return {
    describe: () => link.describe(),
    connect: (request, { signal }) => link.connect(request, signal, { heartbeats: "by the caller" }),
    heartbeat: (request) => link.heartbeat(request),
    report: (request) => link.report(request),
  };
}

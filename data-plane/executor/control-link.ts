/**
 * The executor's only way to the control plane: leases come in, reports go out. In the all-in-one server the link is a
 * function call; elsewhere it is the `ClusterLinkService` RPC with the same messages.
 */
import type {
  ConnectRequest,
  ConnectResponse,
  HeartbeatRequest,
  HeartbeatResponse,
  ReportRequest,
  ReportResponse,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";

export interface ControlLink {
  /**
   * Sends all that the cluster holds, then `synced`, then new leases and aborts. Ends or throws when the connection is
   * lost: the executor connects again and compares what it has with what it is sent. What the control plane has against
   * the connection is thrown as an `AppError`: `failed_precondition` when it is refused, `aborted` when it is over.
   */
  connect(request: ConnectRequest, signal: AbortSignal): AsyncIterable<ConnectResponse>;
  /** Keeps the cluster's leases, and tells who has them otherwise. Throws when the control plane cannot be reached. */
  heartbeat(request: HeartbeatRequest): Promise<HeartbeatResponse>;
  /** Hands in reports; one verdict each, in order. Throws when the control plane cannot be reached (repeat, it is idempotent). */
  report(request: ReportRequest): Promise<ReportResponse>;
}

/**
 * `flyte-ts executor`: runs what a control plane leases to a Kubernetes cluster. Returns when it was told to stop.
 */
import { checkPort, UsageError, type Verb } from "../verb.ts";

export const verb: Verb = {
  name: "executor",
  summary: "run actions on a Kubernetes cluster, for a control plane elsewhere",
  usage: "executor --cluster NAME --control-plane URL [options]",
  options: {
    cluster: { type: "string", value: "NAME", help: "the cluster's name in the control plane" },
    "control-plane": { type: "string", value: "URL", help: "where the control plane is" },
    kubeconfig: { type: "string", value: "FILE", help: "default: KUBECONFIG, the pod's account, ~/.kube/config" },
    context: { type: "string", value: "NAME", help: "of the kubeconfig" },
    namespace: { type: "string", value: "NAME", help: "of the executor's objects (default: the connection's)" },
    "namespace-mode": { type: "string", value: "MODE", help: "single (default): all actions there; or template" },
    "namespace-template": { type: "string", value: "TEXT", help: "default {project}-{domain}" },
    slots: { type: "string", value: "N", help: "actions that work at once (default 1000)" },
    queues: { type: "string", value: "LIST", help: "queues that this cluster serves, with commas between" },
    "task-endpoint": { type: "string", value: "URL", help: "the control plane as tasks reach it" },
    "object-store": { type: "string", value: "URL", help: "an S3 bucket (default: what the control plane says)" },
    "health-host": { type: "string", value: "HOST", help: "address of health and metrics (default 127.0.0.1)" },
    "health-port": { type: "string", value: "PORT", help: "port of health and metrics (default 8643)" },
    config: { type: "string", value: "FILE", help: "configuration file; flags win over it" },
    json: { type: "boolean", help: "print one line of JSON when it runs, instead of the screen" },
  },
  async run({ flags }, io) {
    if (!flags.cluster || !flags["control-plane"]) {
      if (!flags.config && !io.env.FLYTE_TS_CONFIG && !io.env.FLYTE_TS_CLUSTER) {
        throw new UsageError("an executor needs --cluster NAME and --control-plane URL");
      }
    }
    checkPort(flags, "health-port");
    const { runExecutor } = await import("@flyte-ts/flyted");
    return runExecutor({ flags, ...io });
  },
};

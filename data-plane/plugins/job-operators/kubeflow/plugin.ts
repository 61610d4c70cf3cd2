/** Kubeflow's training jobs: pods in roles that find each other by what the training operator tells them. */
import type { Pod } from "../../pod/objects.ts";
import type { JobKind } from "../kind.ts";
import { inRole } from "../status.ts";
import { buildMpiJob, buildPyTorchJob, buildTensorFlowJob } from "./build.ts";
import { observeTrainingJob } from "./phase.ts";

const INDEX = "training.kubeflow.org/replica-index";

/** The first pod of the first of these roles that the job has. */
function firstOf(...roles: readonly string[]): (pods: readonly Pod[]) => Pod | undefined {
  return (pods) => {
    for (const role of roles) {
      const all = inRole(pods, role);
      if (all.length > 0) return all.find(({ metadata }) => metadata.labels?.[INDEX] === "0");
    }
    return undefined;
  };
}

const shared = {
  operator: "the Kubeflow training operator",
  // Pods and services are called `NAME-evaluator-9999`.
  maxName: 48,
  observe: observeTrainingJob,
};

export const pyTorchKind: JobKind = {
  ...shared,
  taskTypes: ["pytorch"],
  resource: { group: "kubeflow.org", version: "v1", plural: "pytorchjobs" },
  kind: "PyTorchJob",
  driven: false,
  build: buildPyTorchJob,
  primary: firstOf("master", "worker"),
};

export const tensorFlowKind: JobKind = {
  ...shared,
  taskTypes: ["tensorflow"],
  resource: { group: "kubeflow.org", version: "v1", plural: "tfjobs" },
  kind: "TFJob",
  driven: false,
  build: buildTensorFlowJob,
  primary: firstOf("chief", "worker"),
};

export const mpiKind: JobKind = {
  ...shared,
  taskTypes: ["mpi"],
  resource: { group: "kubeflow.org", version: "v1", plural: "mpijobs" },
  kind: "MPIJob",
  driven: true,
  build: buildMpiJob,
  primary: firstOf("launcher"),
};

/** From tasks of type pytorch, tensorflow and mpi to Kubeflow's jobs, in both forms that SDKs have written. Pure. */
import { DistributedMPITrainingTaskSchema } from "@flyte-ts/contract/flyteidl2/plugins/kubeflow/mpi_pb.ts";
import {
  DistributedPyTorchTrainingTaskSchema,
  type ElasticConfig,
} from "@flyte-ts/contract/flyteidl2/plugins/kubeflow/pytorch_pb.ts";
import { DistributedTensorflowTrainingTaskSchema } from "@flyte-ts/contract/flyteidl2/plugins/kubeflow/tensorflow_pb.ts";
import { DistributedMPITrainingTaskSchema as OldMpiSchema } from "@flyte-ts/contract/flyteidl2/plugins/mpi_pb.ts";
import { DistributedPyTorchTrainingTaskSchema as OldPyTorchSchema } from "@flyte-ts/contract/flyteidl2/plugins/pytorch_pb.ts";
import { DistributedTensorflowTrainingTaskSchema as OldTensorFlowSchema } from "@flyte-ts/contract/flyteidl2/plugins/tensorflow_pb.ts";
import { BadSpecError } from "../../pod/bad-spec.ts";
import type { Passed } from "../../pod/objects.ts";
import { customOf } from "../build.ts";
import type { JobRequest } from "../kind.ts";
import { needsWorkers, type Replicas, replicaSpec, replicasOf, runPolicy } from "./replicas.ts";

export function buildPyTorchJob(request: JobRequest): Passed {
  const { template } = request;
  const old = isOld(request);
  const task = old ? customOf(OldPyTorchSchema, template) : customOf(DistributedPyTorchTrainingTaskSchema, template);
  const isNew = task.$typeName === "flyteidl2.plugins.kubeflow.DistributedPyTorchTrainingTask";
  const workers = isNew ? replicasOf(task.workerReplicas) : { count: task.workers };
  const master: Replicas = isNew ? { ...replicasOf(task.masterReplicas), count: 1 } : { count: 1 };
  needsWorkers(workers);
  const replica = (role: string, replicas: Replicas) => replicaSpec(request, role, "pytorch", replicas);
  return {
    runPolicy: runPolicy(isNew ? task.runPolicy : undefined),
    // Elastic workers are equals.
    ...(task.elasticConfig ? { elasticPolicy: elasticPolicy(task.elasticConfig) } : {}),
    pytorchReplicaSpecs: {
      ...(task.elasticConfig ? {} : { Master: replica("master", master) }),
      Worker: replica("worker", workers),
    },
  };
}

type Elastic = Pick<ElasticConfig, "rdzvBackend" | "minReplicas" | "maxReplicas" | "nprocPerNode" | "maxRestarts">;

function elasticPolicy({ rdzvBackend, minReplicas, maxReplicas, nprocPerNode, maxRestarts }: Elastic): Passed {
  return {
    ...(rdzvBackend === "" ? {} : { rdzvBackend }),
    ...(minReplicas > 0 ? { minReplicas } : {}),
    ...(maxReplicas > 0 ? { maxReplicas } : {}),
    ...(nprocPerNode > 0 ? { nProcPerNode: nprocPerNode } : {}),
    maxRestarts,
  };
}

export function buildTensorFlowJob(request: JobRequest): Passed {
  const { template } = request;
  const roles: [key: string, role: string, Replicas][] = [];
  let policy: Passed;
  if (isOld(request)) {
    const task = customOf(OldTensorFlowSchema, template);
    policy = runPolicy(undefined);
    roles.push(
      ["Chief", "chief", { count: task.chiefReplicas }],
      ["Worker", "worker", { count: task.workers }],
      ["PS", "ps", { count: task.psReplicas }],
      ["Evaluator", "evaluator", { count: task.evaluatorReplicas }],
    );
  } else {
    const task = customOf(DistributedTensorflowTrainingTaskSchema, template);
    policy = runPolicy(task.runPolicy);
    roles.push(
      ["Chief", "chief", replicasOf(task.chiefReplicas)],
      ["Worker", "worker", replicasOf(task.workerReplicas)],
      ["PS", "ps", replicasOf(task.psReplicas)],
      ["Evaluator", "evaluator", replicasOf(task.evaluatorReplicas)],
    );
  }
  const asked = roles.filter(([, , { count }]) => count > 0);
  needsWorkers(asked.find(([key]) => key === "Worker")?.[2] ?? { count: 0 });
  return {
    runPolicy: policy,
    tfReplicaSpecs: Object.fromEntries(
      asked.map(([key, role, replicas]) => [key, replicaSpec(request, role, "tensorflow", replicas)]),
    ),
  };
}

export function buildMpiJob(request: JobRequest): Passed {
  const { template } = request;
  let workers: Replicas;
  let launcher: Replicas;
  let slots: number;
  let policy: Passed;
  if (isOld(request)) {
    const task = customOf(OldMpiSchema, template);
    const command = (template.config.worker_spec_command ?? "").split(" ").filter((word) => word !== "");
    workers = { count: task.numWorkers, command };
    launcher = { count: Math.max(1, task.numLauncherReplicas) };
    slots = task.slots;
    policy = runPolicy(undefined);
  } else {
    const task = customOf(DistributedMPITrainingTaskSchema, template);
    workers = { ...replicasOf(task.workerReplicas), command: task.workerReplicas?.command ?? [] };
    const own = task.launcherReplicas?.command ?? [];
    launcher = { ...replicasOf(task.launcherReplicas), count: 1, ...(own.length > 0 ? { command: own } : {}) };
    slots = task.slots;
    policy = runPolicy(task.runPolicy);
  }
  needsWorkers(workers);
  return {
    slotsPerWorker: Math.max(1, slots),
    runPolicy: policy,
    mpiReplicaSpecs: {
      Launcher: replicaSpec(request, "launcher", "mpi", launcher),
      Worker: replicaSpec(request, "worker", "mpi", workers),
    },
  };
}

function isOld({ template: { taskTypeVersion, type } }: JobRequest): boolean {
  if (taskTypeVersion > 1) {
    throw new BadSpecError(
      `the task of type "${type}" is written in version ${taskTypeVersion}, and this server knows 0 and 1: update it`,
    );
  }
  return taskTypeVersion === 0;
}

/** What becomes of tasks, operator by operator. Whether operators take it is proved on their schemas, beside each kind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { ContainerSchema, K8sPodSchema, type TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { attemptPlaces } from "../../executor/index.ts";
import { keyOf, leaseOf } from "../../executor/testing/leases.ts";
import { BadSpecError } from "../pod/bad-spec.ts";
import { podConfig } from "../pod/config.ts";
import type { Container, Pod } from "../pod/objects.ts";
import { buildJob, type JobObjects } from "./build.ts";
import { daskKind } from "./dask/plugin.ts";
import { type JobKind, jobConfig, jobKinds } from "./index.ts";
import { jobSetKind } from "./jobset/plugin.ts";
import { mpiKind, pyTorchKind, tensorFlowKind } from "./kubeflow/plugin.ts";
import { jobName } from "./names.ts";
import { rayKind } from "./ray/plugin.ts";
import { sparkKind } from "./spark/plugin.ts";

type Template = MessageInitShape<typeof TaskTemplateSchema>;

const owner = { apiVersion: "flyte.org/v1", kind: "TaskAction", name: "r1-a0-7", uid: "u" };

function built(kind: JobKind, template: Template, config: object = {}): JobObjects {
  const args = ["a0", "--inputs", "{{.input}}", "it's $(HOME)"];
  const container = create(ContainerSchema, { image: "task:1", args });
  const [type = ""] = kind.taskTypes;
  const lease = leaseOf({
    taskType: type,
    inputUri: "s3://b/in",
    template: { type, target: { case: "container", value: container }, ...template },
  });
  const task = fromBinary(TaskSpecSchema, lease.taskSpec).taskTemplate;
  const parts = {
    key: keyOf(lease),
    lease,
    template: task,
    places: attemptPlaces(lease),
    config: podConfig.parse(config),
    cluster: "east",
    namespace: "ns",
    owner,
    server: {},
    serverSecrets: {},
    inputs: undefined,
    secretValues: task?.securityContext?.secrets.map(() => Buffer.from("v")) ?? [],
    podTemplate: undefined,
  };
  return buildJob(kind, parts, jobConfig.parse({}));
}

type Fields = Record<string, unknown>;

/** A value deep inside: `at(job, "spec.replicatedJobs.0.name")`. */
function at<T = unknown>(value: unknown, path: string): T {
  return path.split(".").reduce((inside, field) => (inside as Fields | undefined)?.[field], value) as T;
}

const envOf = (container: Container | undefined, name: string) => container?.env?.find((one) => one.name === name);
const refuses = (kind: JobKind, template: Template, message: RegExp) =>
  assert.throws(
    () => built(kind, template),
    (error) => error instanceof BadSpecError && message.test(error.message),
  );

const customs: readonly [JobKind, JsonObject][] = [
  [jobSetKind, { replicas: 2, nprocPerNode: 1 }],
  [rayKind, { rayCluster: { workerGroupSpec: [{ groupName: "w", replicas: 1 }] } }],
  [sparkKind, { mainApplicationFile: "local:///x.py" }],
  [daskKind, { workers: { numberOfWorkers: 1 } }],
  [pyTorchKind, { workers: 1 }],
  [tensorFlowKind, { workers: 1 }],
  [mpiKind, { numWorkers: 1 }],
];

test("every job carries the attempt's labels and key, belongs to what stands for it, and shares one Secret", () => {
  assert.deepEqual(new Set(customs.map(([kind]) => kind)), new Set(jobKinds));
  for (const [kind, custom] of customs) {
    const secrets = [{ key: "TOKEN", envVar: "TOKEN" }];
    const { job, secret } = built(kind, { custom, securityContext: { secrets } });
    assert.deepEqual(job.metadata.ownerReferences, [owner], kind.kind);
    assert.equal(job.metadata.labels?.["flyte.org/job"], job.metadata.name);
    assert.equal(job.metadata.labels?.["flyte.org/managed"], "true");
    assert.equal(job.metadata.annotations?.["flyte.org/attempt-key"], "7/a0/1");
    assert.equal(secret?.metadata.name, "r1-a0-7-0");
    assert.equal(job.metadata.annotations?.["flyte.org/secret"], "r1-a0-7-0");
    const text = JSON.stringify(job.spec);
    assert.match(text, /"secretKeyRef":\{"name":"r1-a0-7-0"/, kind.kind);
    assert.match(text, /"ACTION_NAME","value":"a0"/, kind.kind);
    assert.doesNotMatch(text, new RegExp(Buffer.from("v").toString("base64")));
  }
});

test("a clustered task: an indexed job, what its launcher reads, restarts by policy, evictions for free", () => {
  const custom = {
    replicas: 3,
    nprocPerNode: 8,
    runtime: { torchrun: { rdzvBackend: "C10D" } },
    failurePolicy: { maxRestarts: 2, restartOnHostMaintenance: true },
  };
  // The run may not replace what the pods find each other by.
  const { job } = built(jobSetKind, { custom });
  const work = at<Fields>(job, "spec.replicatedJobs.0.template.spec");
  assert.deepEqual([work.parallelism, work.completions, work.completionMode, work.backoffLimit], [3, 3, "Indexed", 0]);
  assert.equal(at(job, "spec.failurePolicy.maxRestarts"), 2);
  assert.equal(at(job, "spec.failurePolicy.rules.0.action"), "RestartJobSetAndIgnoreMaxRestarts");
  assert.equal(at(work, "podFailurePolicy.rules.0.onPodConditions.0.type"), "DisruptionTarget");
  const container = at(work, "template.spec.containers.0") as Container;
  const values = ["NNODES", "NPROC_PER_NODE", "MASTER_PORT", "RDZV_BACKEND", "JOBSET_MAX_RESTARTS"];
  assert.deepEqual(
    values.map((name) => envOf(container, name)?.value),
    ["3", "8", "29500", "c10d", "2"],
  );
  assert.ok(envOf(container, "JOBSET_NAME")?.valueFrom?.fieldRef);
  assert.deepEqual(container.args, ["a0", "--inputs", "s3://b/in/inputs.pb", "it's $$(HOME)"]);

  const plain = built(jobSetKind, { custom: { replicas: 1, nprocPerNode: 1 } });
  assert.equal(at(plain.job, "spec.failurePolicy"), undefined);
  refuses(jobSetKind, { custom: {} }, /0 replicas/);
  refuses(jobSetKind, { custom: { replicas: 1 } }, /0 processes/);
  refuses(jobSetKind, { custom: { replicas: 1, nprocPerNode: 1, interconnect: "EFA" } }, /interconnect/);
  refuses(jobSetKind, { custom: { replicas: "many" } }, /no ClusteredTaskSpec/);
});

test("a ray task: its command line runs on the cluster, groups have pods of their own", () => {
  const gpu = {
    containers: [{ name: "x", resources: { limits: { "nvidia.com/gpu": "1" } } }],
    nodeSelector: { a: "b" },
  };
  const custom: JsonObject = {
    rayCluster: {
      headGroupSpec: { rayStartParams: { "num-cpus": "0" } },
      workerGroupSpec: [
        {
          groupName: "gpu",
          replicas: 2,
          k8sPod: { podSpec: gpu, metadata: { labels: { team: "x" } } },
          extendedResources: { gpuAccelerator: { device: "nvidia-tesla-t4" } },
        },
      ],
    },
    runtimeEnv: Buffer.from('{"pip":["a"]}').toString("base64"),
  };
  const { job } = built(rayKind, { custom });
  assert.equal(at(job, "spec.entrypoint"), `a0 --inputs s3://b/in/inputs.pb 'it'"'"'s $$(HOME)'`);
  assert.equal(at(job, "spec.runtimeEnvYAML"), '{"pip":["a"]}');
  const head = at<Fields>(job, "spec.rayClusterSpec.headGroupSpec");
  assert.equal(at(head, "rayStartParams.num-cpus"), "0");
  assert.equal(at(head, "rayStartParams.dashboard-host"), "0.0.0.0");
  const headContainer = at(head, "template.spec.containers.0") as Container;
  assert.deepEqual([headContainer.name, headContainer.args, headContainer.command], ["ray-head", undefined, undefined]);
  assert.equal(at<Fields>(head, "template.metadata.labels")["flyte.org/job-role"], "head");
  const worker = at<Fields>(job, "spec.rayClusterSpec.workerGroupSpecs.0");
  assert.deepEqual([worker.minReplicas, worker.replicas, worker.maxReplicas], [0, 2, 2]);
  const pod = worker.template as Pod;
  assert.equal(pod.spec.containers.length, 1);
  assert.equal(pod.spec.containers[0]?.name, "ray-worker");
  assert.equal(pod.spec.containers[0]?.resources?.limits?.["nvidia.com/gpu"], "1");
  assert.equal(pod.spec.nodeSelector?.a, "b");
  assert.equal(pod.metadata.labels?.team, "x");
  // The accelerator of the group, for a GPU that only its own pod asks for.
  assert.match(JSON.stringify(pod.spec.affinity), /nvidia-tesla-t4/);
  assert.equal(headContainer.resources?.limits?.["nvidia.com/gpu"], undefined);
  const submitter = at(job, "spec.submitterPodTemplate") as Pod;
  assert.equal(submitter.spec.containers[0]?.image, "task:1");
  assert.equal(submitter.spec.containers[0]?.resources?.requests?.cpu, "500m");
  refuses(rayKind, { custom, target: { case: "container", value: { image: "i" } } }, /no command line/);
  const twice = { rayCluster: { workerGroupSpec: [{ groupName: "w" }, { groupName: "w" }] } };
  refuses(rayKind, { custom: twice }, /two worker groups/);
});

test("a spark task: the driver stays, executors may go; properties and arguments", () => {
  const custom = {
    mainApplicationFile: "local:///x.py",
    sparkConf: { "spark.driver.cores": "2", "spark.executor.instances": "4" },
    executorPath: "/opt/python",
  };
  const config = {
    interruptible: { nodeSelector: { spot: "yes" } },
    nonInterruptible: { nodeSelector: { spot: "no" } },
  };
  const metadata = { interruptibleValue: { case: "interruptible" as const, value: true } };
  const { job } = built(sparkKind, { custom, metadata }, config);
  assert.equal(at(job, "spec.driver.template.spec.nodeSelector.spot"), "no");
  assert.equal(at(job, "spec.executor.template.spec.nodeSelector.spot"), "yes");
  assert.deepEqual(at(job, "spec.arguments"), ["a0", "--inputs", "s3://b/in/inputs.pb", "it's $$(HOME)"]);
  const conf = at<Fields>(job, "spec.sparkConf");
  assert.equal(conf["spark.kubernetes.driver.limit.cores"], "2");
  assert.equal(conf["spark.pyspark.python"], "/opt/python");
  assert.equal(conf["spark.kubernetes.executor.podNamePrefix"], "r1-a0-7-0");
  const driver = at(job, "spec.driver.template.spec.containers.0") as Container;
  assert.deepEqual([driver.name, driver.args], ["spark-kubernetes-driver", undefined]);
  assert.equal(at(job, "spec.driver.serviceAccount"), "spark");
  assert.equal(at<Fields>(job, "spec.driver.labels")["flyte.org/job-role"], "driver");
  const securityContext = { runAs: { k8sServiceAccount: "own" } };
  assert.equal(at(built(sparkKind, { custom, securityContext }).job, "spec.executor.serviceAccount"), "own");
  refuses(sparkKind, { custom: {} }, /main application file/);
});

test("a dask task: the runner is the task, workers are as large as their containers", () => {
  const limits = [
    { name: "CPU", value: "2500m" },
    { name: "MEMORY", value: "2Gi" },
  ];
  const custom = { scheduler: { image: "s:1" }, workers: { numberOfWorkers: 3, image: "w:1", resources: { limits } } };
  const { job } = built(daskKind, { custom });
  const runner = at(job, "spec.job.spec") as Pod["spec"];
  assert.deepEqual([runner.containers[0]?.name, runner.restartPolicy], ["job-runner", "Never"]);
  assert.equal(runner.containers[0]?.args?.[0], "a0");
  const worker = at<Fields>(job, "spec.cluster.spec.worker");
  assert.equal(worker.replicas, 3);
  assert.equal(at(worker, "spec.containers.0.image"), "w:1");
  assert.deepEqual(at(worker, "spec.containers.0.args"), [
    ...["dask", "worker", "--name", "$(DASK_WORKER_NAME)"],
    ...["--nthreads", "2", "--memory-limit", "2147483648"],
  ]);
  const scheduler = at(job, "spec.cluster.spec.scheduler");
  assert.deepEqual(at(scheduler, "spec.containers.0.args"), ["dask", "scheduler"]);
  assert.equal(at(scheduler, "spec.restartPolicy"), "Always");
  assert.equal(at<Fields>(scheduler, "service.selector")["dask.org/cluster-name"], job.metadata.name);
});

test("training tasks, in the old form and the new", () => {
  const old = built(pyTorchKind, { custom: { workers: 3 } }).job;
  assert.deepEqual(Object.keys(at<Fields>(old, "spec.pytorchReplicaSpecs")), ["Master", "Worker"]);
  assert.equal(at(old, "spec.pytorchReplicaSpecs.Worker.replicas"), 3);
  assert.equal(at(old, "spec.pytorchReplicaSpecs.Worker.template.spec.containers.0.name"), "pytorch");
  const elastic = { workerReplicas: { replicas: 2 }, elasticConfig: { rdzvBackend: "c10d", nprocPerNode: 2 } };
  const young = built(pyTorchKind, { custom: elastic, taskTypeVersion: 1 }).job;
  assert.deepEqual(Object.keys(at<Fields>(young, "spec.pytorchReplicaSpecs")), ["Worker"]);
  assert.equal(at(young, "spec.elasticPolicy.nProcPerNode"), 2);
  refuses(pyTorchKind, { custom: {} }, /0 workers/);
  refuses(pyTorchKind, { custom: { workers: 1 }, taskTypeVersion: 7 }, /version 7/);

  const common = { replicas: 2, image: "ps:1", restartPolicy: "RESTART_POLICY_ALWAYS" };
  const roles = { workerReplicas: { replicas: 1 }, psReplicas: { common }, evaluatorReplicas: { replicas: 0 } };
  const flow = built(tensorFlowKind, { custom: roles, taskTypeVersion: 1 }).job;
  assert.deepEqual(Object.keys(at<Fields>(flow, "spec.tfReplicaSpecs")), ["Worker", "PS"]);
  const ps = at<Fields>(flow, "spec.tfReplicaSpecs.PS");
  assert.deepEqual([ps.replicas, ps.restartPolicy, at(ps, "template.spec.containers.0.image")], [2, "Always", "ps:1"]);
  refuses(tensorFlowKind, { custom: { psReplicas: 1 } }, /0 workers/);

  const worker = { config: { worker_spec_command: "/usr/sbin/sshd -D" }, custom: { numWorkers: 2, slots: 4 } };
  const mpi = built(mpiKind, worker).job;
  assert.equal(at(mpi, "spec.slotsPerWorker"), 4);
  assert.deepEqual(at(mpi, "spec.mpiReplicaSpecs.Worker.template.spec.containers.0.args"), ["/usr/sbin/sshd", "-D"]);
  assert.equal(at(mpi, "spec.mpiReplicaSpecs.Launcher.template.spec.containers.0.args.0"), "a0");
  const silent = built(mpiKind, { custom: { workerReplicas: { replicas: 1 } }, taskTypeVersion: 1 }).job;
  // The operator has a command for workers that have none.
  assert.equal(at(silent, "spec.mpiReplicaSpecs.Worker.template.spec.containers.0.args"), undefined);
});

test("a pod of the task's own keeps its sidecars; a name that the operator needs is refused", () => {
  const pod = (sidecar: string) => {
    const main: JsonObject = { name: "m", image: "i", args: ["$(X)"] };
    const podSpec: JsonObject = { containers: [main, { name: sidecar, image: "s" }] };
    return { case: "k8sPod" as const, value: create(K8sPodSchema, { podSpec, primaryContainerName: "m" }) };
  };
  const { job } = built(pyTorchKind, { target: pod("proxy"), custom: { workers: 1 } });
  const { containers } = at(job, "spec.pytorchReplicaSpecs.Worker.template.spec") as Pod["spec"];
  assert.deepEqual(
    containers.map(({ name }) => name),
    ["pytorch", "proxy"],
  );
  assert.deepEqual(containers[0]?.args, ["$(X)"]);
  refuses(pyTorchKind, { target: pod("pytorch"), custom: { workers: 1 } }, /"pytorch".*rename/);
});

test("a task that is given files is no job", () => {
  const value = { image: "i", dataConfig: { enabled: true } };
  refuses(mpiKind, { target: { case: "container", value }, custom: { numWorkers: 1 } }, /as files.*MPIJob/);
});

test("names are a pod's where they may be, else short ones that are as unique", () => {
  const ref = leaseOf({}).ref;
  assert.ok(ref);
  assert.equal(jobName(ref, 1, 47), "r1-a0-7-0");
  const names = new Set<string>();
  for (const run of ["9-starts-with-a-digit", "x".repeat(30), "x".repeat(29), "UPPER_case"]) {
    for (const attempt of [1, 2, 4294967295]) {
      for (const max of [32, 41, 63]) {
        const name = jobName({ ...ref, run, name: "a-long-name-of-an-action" }, attempt, max);
        assert.ok(name.length <= max && /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name), name);
        names.add(`${max} ${name}`);
      }
    }
  }
  assert.equal(names.size, 4 * 3 * 3);
});

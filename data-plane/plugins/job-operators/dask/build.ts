/** From a dask task to a DaskJob: the task's pod as runner, scheduler and workers in its image unless they have their own. Pure. */
import { DaskJobSchema } from "@flyte-ts/contract/flyteidl2/plugins/dask_pb.ts";
import type { Container, Passed } from "../../pod/objects.ts";
import { quantity } from "../../pod/quantity.ts";
import { customOf } from "../build.ts";
import type { JobRequest } from "../kind.ts";

const ports = [
  { name: "tcp-comm", containerPort: 8786 },
  { name: "dashboard", containerPort: 8787 },
];

export function buildDaskJob(request: JobRequest): Passed {
  const { name, template } = request;
  const job = customOf(DaskJobSchema, template);
  // Workers can be lost and made again; with the others everything is.
  const runner = request.pod({ name: "runner", container: "job-runner", interruptible: false });
  const scheduler = request.pod({
    name: "scheduler",
    container: "scheduler",
    image: job.scheduler?.image,
    resources: job.scheduler?.resources,
    command: [],
    args: ["dask", "scheduler"],
    ports,
    interruptible: false,
  });
  scheduler.primary.readinessProbe ??= {
    httpGet: { port: "dashboard", path: "/health" },
    initialDelaySeconds: 5,
    periodSeconds: 5,
    failureThreshold: 30,
  };
  const worker = request.pod({
    name: "worker",
    container: "worker",
    image: job.workers?.image,
    resources: job.workers?.resources,
    command: [],
  });
  worker.primary.args = ["dask", "worker", "--name", "$(DASK_WORKER_NAME)", ...size(worker.primary)];
  return {
    job: { spec: runner.spec },
    cluster: {
      spec: {
        scheduler: {
          // Deployments start their pods again, and take no others.
          spec: { ...scheduler.spec, restartPolicy: "Always" },
          service: service(name),
        },
        worker: {
          replicas: job.workers?.numberOfWorkers ?? 0,
          spec: { ...worker.spec, restartPolicy: "Always" },
        },
      },
    },
  };
}

/** As large as its container. */
function size({ resources }: Container): string[] {
  const { cpu, memory } = resources?.limits ?? {};
  const threads = cpu === undefined ? undefined : quantity(cpu);
  return [
    ...(threads === undefined ? [] : ["--nthreads", String(Math.max(1, Math.floor(threads)))]),
    ...(memory === undefined ? [] : ["--memory-limit", `${Math.floor(quantity(memory) ?? 0)}`]),
  ];
}

function service(name: string): Passed {
  return {
    type: "ClusterIP",
    selector: { "dask.org/cluster-name": name, "dask.org/component": "scheduler" },
    ports: ports.map(({ name, containerPort }) => ({ name, protocol: "TCP", port: containerPort, targetPort: name })),
  };
}

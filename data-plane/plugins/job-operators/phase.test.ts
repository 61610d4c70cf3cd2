/** What jobs and their pods are taken for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { podConfig } from "../pod/config.ts";
import type { Pod, PodStatus } from "../pod/objects.ts";
import { daskKind } from "./dask/plugin.ts";
import type { JobKind, JobObject } from "./index.ts";
import { jobSetKind } from "./jobset/plugin.ts";
import { pyTorchKind } from "./kubeflow/plugin.ts";
import { progress } from "./phase.ts";
import { rayKind } from "./ray/plugin.ts";
import { sparkKind } from "./spark/plugin.ts";

const now = new Date("2026-01-01T01:00:00Z");
const graces = podConfig.parse({}).graces;
const seen = (kind: JobKind, status: object | undefined, pods: Pod[] = [], spec: object = {}) => {
  const job = {
    kind: kind.kind,
    metadata: { name: "j", namespace: "ns", creationTimestamp: "2026-01-01T00:59:00Z" },
    spec,
    ...(status ? { status } : {}),
  } as JobObject;
  return progress(kind, job, pods, { graces, operatorMs: 180_000, now, trouble: undefined });
};
const brief = (one: ReturnType<typeof progress>) => {
  if (one.kind === "pending") return `pending ${one.waiting?.reason ?? ""}`.trim();
  if (one.kind === "failed") return `failed ${one.error.code}`;
  if (one.kind !== "ended") return one.kind;
  if (one.succeeded) return "succeeded";
  const { phase, error } = one.end;
  return `${phase} ${error.code} ${error.kind}${error.recoverable ? "" : " final"}`;
};
const holds = (type: string, more: object = {}) => ({
  type,
  status: "True",
  lastTransitionTime: "2026-01-01T00:59:30Z",
  ...more,
});

function pod(
  name: string,
  role: string,
  status: PodStatus,
  more: { labels?: Record<string, string>; restartPolicy?: "Never" | "OnFailure"; deleted?: boolean } = {},
): Pod {
  return {
    metadata: {
      name,
      namespace: "ns",
      creationTimestamp: "2026-01-01T00:59:00Z",
      labels: { "flyte.org/job-role": role, ...more.labels },
      annotations: { primary_container_name: "m" },
      ...(more.deleted ? { deletionTimestamp: "2026-01-01T01:00:00Z" } : {}),
    },
    spec: { containers: [{ name: "side" }, { name: "m" }], restartPolicy: more.restartPolicy ?? "Never" },
    status,
  };
}
const ended = (exitCode: number, finishedAt: string, more: object = {}): PodStatus => ({
  phase: exitCode === 0 ? "Succeeded" : "Failed",
  containerStatuses: [{ name: "m", state: { terminated: { exitCode, finishedAt, ...more } } }],
});
const waits = (reason: string): PodStatus => ({
  phase: "Pending",
  containerStatuses: [{ name: "m", state: { waiting: { reason, message: "said" } } }],
});

test("operators' words, one by one", () => {
  const ray = (jobDeploymentStatus: string, more: object = {}) => ({ jobDeploymentStatus, ...more });
  const spark = (state: string) => ({ applicationState: { state } });
  const workers = (counts: object, more: object = {}) => ({
    replicatedJobsStatus: [{ name: "workers", ...counts }],
    ...more,
  });
  const rows: [JobKind, status: object | undefined, expected: string, spec?: object][] = [
    [jobSetKind, undefined, "pending"],
    [jobSetKind, workers({ active: 1 }), "starting"],
    [jobSetKind, workers({ active: 1, ready: 1 }), "running"],
    [jobSetKind, workers({ active: 1 }, { restarts: 1 }), "running"],
    [jobSetKind, { conditions: [holds("Completed")] }, "succeeded"],
    [jobSetKind, { conditions: [holds("Failed", { reason: "FailedJobs" })] }, "failed FailedJobs user"],
    [jobSetKind, { conditions: [holds("Suspended")] }, "pending Suspended"],
    [jobSetKind, { conditions: [{ ...holds("Suspended"), status: "False" }] }, "starting"],
    [jobSetKind, undefined, "pending Suspended", { suspend: true }],
    [rayKind, { jobStatus: "" }, "pending"],
    [rayKind, ray("Initializing"), "starting"],
    [rayKind, ray("Waiting"), "running"],
    [rayKind, ray("Retrying"), "running"],
    [rayKind, ray("Suspending"), "pending Suspended"],
    [rayKind, ray("Complete", { jobStatus: "SUCCEEDED" }), "succeeded"],
    [rayKind, ray("Complete", { jobStatus: "FAILED" }), "failed AppFailed user final"],
    [rayKind, ray("Complete", { jobStatus: "STOPPED" }), "failed Stopped system"],
    [rayKind, ray("Failed", { reason: "AppFailed" }), "failed AppFailed user final"],
    [rayKind, ray("Failed", { reason: "SubmissionFailed" }), "failed SubmissionFailed system"],
    [rayKind, ray("Failed", { reason: "DeadlineExceeded" }), "timedOut MAX_RUNTIME_EXCEEDED user"],
    [
      rayKind,
      ray("Failed", { reason: "JobDeploymentStatusTransitionGracePeriodExceeded" }),
      "failed JobDeploymentStatusTransitionGracePeriodExceeded system",
    ],
    [rayKind, ray("ValidationFailed"), "failed ValidationFailed user final"],
    [sparkKind, spark("SUBMITTED"), "starting"],
    [sparkKind, spark("PENDING_RERUN"), "starting"],
    [sparkKind, spark("RUNNING"), "running"],
    [sparkKind, spark("SUCCEEDING"), "running"],
    [sparkKind, spark("COMPLETED"), "succeeded"],
    [sparkKind, spark("SUBMISSION_FAILED"), "failed SubmissionFailed system"],
    [sparkKind, spark("FAILED"), "failed ApplicationFailed user"],
    [sparkKind, spark("SUSPENDED"), "pending Suspended"],
    [daskKind, { jobStatus: null }, "pending"],
    [daskKind, { jobStatus: "JobCreated" }, "starting"],
    [daskKind, { jobStatus: "Running" }, "running"],
    [daskKind, { jobStatus: "Successful" }, "succeeded"],
    [daskKind, { jobStatus: "Failed" }, "failed JobFailed user"],
    [pyTorchKind, { conditions: [holds("Created")] }, "starting"],
    [pyTorchKind, { conditions: [holds("Created"), holds("Running")] }, "running"],
    [pyTorchKind, { conditions: [{ ...holds("Running"), status: "False" }, holds("Restarting")] }, "running"],
    [pyTorchKind, { conditions: [holds("Created"), holds("Suspended")] }, "pending Suspended"],
    [pyTorchKind, { conditions: [holds("Running"), holds("Succeeded")] }, "succeeded"],
    [pyTorchKind, { conditions: [holds("Failed", { reason: "R" })] }, "failed R user"],
    [
      pyTorchKind,
      {
        conditions: [
          holds("Failed", { message: "Job j has failed because it was active longer than specified deadline" }),
        ],
      },
      "timedOut MAX_RUNTIME_EXCEEDED user",
    ],
    [pyTorchKind, undefined, "pending Suspended", { runPolicy: { suspend: true } }],
  ];
  for (const [kind, status, expected, spec] of rows) {
    assert.equal(brief(seen(kind, status, [], spec)), expected, `${kind.kind} ${JSON.stringify(status)}`);
  }
});

test("a job that no operator looks at waits for a while, then fails and says whom to look after", () => {
  const waiting = seen(sparkKind, undefined);
  assert.deepEqual(waiting, { kind: "pending", after: 120_000 });
  const job = {
    kind: "SparkApplication",
    metadata: { name: "j", namespace: "ns", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: {},
  };
  const late = progress(sparkKind, job, [], { graces, operatorMs: 180_000, now, trouble: undefined });
  assert.equal(brief(late), "failed OperatorSilent");
  assert.match(
    late.kind === "failed" ? late.error.message : "",
    /check that the Spark operator runs and watches the namespace ns/,
  );
});

test("the pods say why: the one that failed first by itself, whatever ended the others", () => {
  const early = "2026-01-01T00:59:10Z";
  const late = "2026-01-01T00:59:20Z";
  const failed = { conditions: [holds("Failed", { reason: "FailedJobs" })] };
  const pods = [
    pod("w0", "worker", ended(143, early)),
    pod("w1", "worker", ended(3, early, { message: "Traceback" })),
    pod("w2", "worker", ended(137, late, { reason: "OOMKilled" })),
    pod("w3", "worker", ended(0, early)),
  ];
  const one = seen(jobSetKind, failed, pods);
  assert.equal(brief(one), "failed ExitCode3 user");
  assert.match(one.kind === "ended" ? one.end.error.message : "", /in the pod w1: .*\nTraceback/);
  const memory = [
    pod("w0", "worker", ended(143, late)),
    pod("w2", "worker", ended(137, early, { reason: "OOMKilled" })),
  ];
  assert.equal(brief(seen(jobSetKind, failed, memory)), "failed OOMKilled user");
  const evicted = [pod("w0", "worker", { phase: "Failed", reason: "Evicted", message: "node is low" })];
  assert.equal(brief(seen(jobSetKind, failed, evicted)), "failed Interrupted system");
  // A deadline is the operator's word.
  const deadline = { jobDeploymentStatus: "Failed", reason: "DeadlineExceeded" };
  assert.equal(
    brief(seen(rayKind, deadline, [pod("h", "head", ended(143, late))])),
    "timedOut MAX_RUNTIME_EXCEEDED user",
  );
});

test("a primary pod that cannot start, or failed for good, ends the job before the operator does", () => {
  const first = { labels: { "batch.kubernetes.io/job-completion-index": "0" } };
  const zero = { ...graces, imagePullMs: 0 };
  const running = { replicatedJobsStatus: [{ name: "workers", active: 1, ready: 1 }] };
  const look = (status: object, its: Pod, spec: object = {}) => {
    const job = { kind: "JobSet", metadata: { name: "j", namespace: "ns" }, spec, status } as JobObject;
    return brief(progress(jobSetKind, job, [its], { graces: zero, operatorMs: 1, now, trouble: undefined }));
  };
  const at = "2026-01-01T00:59:10Z";
  const policy = { failurePolicy: { maxRestarts: 1 } };
  assert.equal(look(running, pod("w", "worker", waits("ErrImagePull"), first)), "failed ErrImagePull");
  assert.equal(look(running, pod("w", "worker", ended(1, at), first)), "failed ExitCode1 user");
  assert.equal(look(running, pod("w", "worker", ended(0, at), first)), "running");
  // It is started again once more.
  assert.equal(look(running, pod("w", "worker", ended(1, at), first), policy), "running");
  assert.equal(
    look({ ...running, restarts: 1 }, pod("w", "worker", ended(1, at), first), policy),
    "failed ExitCode1 user",
  );
  const rules = { failurePolicy: { maxRestarts: 0, rules: [{}] } };
  assert.equal(look(running, pod("w", "worker", { phase: "Failed", reason: "Evicted" }, first), rules), "running");
  assert.equal(look(running, pod("w", "worker", ended(1, at), { ...first, deleted: true })), "running");
  assert.equal(look(running, pod("w", "worker", ended(1, at), { ...first, restartPolicy: "OnFailure" })), "running");
  assert.equal(look(running, pod("w1", "worker", ended(1, at))), "running");
});

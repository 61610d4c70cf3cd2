/** Every row of the table: what Kubernetes shows → what became of the attempt. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { podConfig } from "./config.ts";
import type { Pod } from "./objects.ts";
import { isQuiet, observe, type Remembered, type Seen } from "./phase.ts";
import { at, endedPod, podWith, scheduled, T0, waitingPod } from "./testing/pods.ts";

const { graces } = podConfig.parse({});
const look = (pod: Pod, seconds = 20, trouble?: Remembered, more: object = {}): Seen =>
  observe(pod, { primary: "main", graces: { ...graces, ...more }, now: new Date(T0 + seconds * 1000), trouble });

type Row = [name: string, pod: Pod, expected: string, message?: RegExp];

/** `kind`, and of ends also phase, code, blame and whether a retry may help. */
function short(seen: Seen): string {
  if (seen.kind === "failed")
    return `failed ${seen.error.code} ${seen.error.kind}${seen.error.recoverable ? "" : " final"}`;
  if (seen.kind !== "ended") return seen.kind;
  const { phase, error } = seen.end;
  return `ended${seen.exitedZero ? " zero" : ""} ${phase} ${error.code} ${error.kind}${error.recoverable ? "" : " final"}`;
}

function holds(rows: readonly Row[]): void {
  for (const [name, pod, expected, message] of rows) {
    const seen = look(pod);
    assert.equal(short(seen), expected, name);
    if (message)
      assert.match(
        seen.kind === "failed" ? seen.error.message : seen.kind === "ended" ? seen.end.error.message : "",
        message,
        name,
      );
  }
}

const running = { name: "main", state: { running: { startedAt: at(5) } } };
const sidecar = { name: "side", state: { running: { startedAt: at(5) } } };
const two = { containers: [{ name: "main" }, { name: "side" }] };

test("before the end", () => {
  const unscheduled = { spec: { nodeName: undefined } };
  holds([
    ["no status at all", { metadata: { name: "x" }, spec: { containers: [{ name: "main" }] } }, "pending"],
    ["just created", podWith({ phase: "Pending" }, unscheduled), "pending"],
    ["scheduled, no statuses", podWith({ phase: "Pending", conditions: [scheduled] }), "starting"],
    ["container creating", waitingPod("ContainerCreating"), "starting"],
    ["init containers run", waitingPod("PodInitializing"), "starting"],
    ["waiting without a reason", waitingPod(), "starting"],
    ["running", podWith({ phase: "Running", containerStatuses: [running] }), "running"],
    ["running, statuses missing", podWith({ phase: "Running", startTime: at(3) }), "running"],
    [
      "primary runs, sidecar cannot",
      podWith({
        phase: "Pending",
        containerStatuses: [running, { name: "side", state: { waiting: { reason: "ErrImagePull" } } }],
      }),
      "running",
    ],
    [
      "deleted, still running",
      podWith({ phase: "Running", containerStatuses: [running] }, { metadata: { deletionTimestamp: at(30) } }),
      "running",
    ],
  ]);
  const reason = {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message: "0/1 nodes: Insufficient cpu",
  } as const;
  const pod = podWith({ phase: "Pending", conditions: [reason] }, unscheduled);
  assert.deepEqual(look(pod), { kind: "pending", waiting: { reason: "Unschedulable", message: reason.message } });
  assert.deepEqual(look(pod, 20, undefined, { schedulingMs: 30_000 }), {
    kind: "pending",
    waiting: { reason: "Unschedulable", message: reason.message },
    after: 10_000,
  });
  assert.equal(short(look(pod, 30, undefined, { schedulingMs: 30_000 })), "failed Unschedulable system");
  assert.equal(short(look(pod, 30, undefined, { pendingMs: 30_000 })), "failed Unschedulable system");
  const creating = waitingPod("ContainerCreating");
  assert.deepEqual(look(creating, 20, undefined, { pendingMs: 30_000 }), { kind: "starting", after: 10_000 });
  assert.equal(short(look(creating, 30, undefined, { pendingMs: 30_000 })), "failed PendingTimeout system");
  const seen = look(podWith({ phase: "Running", containerStatuses: [running] }));
  assert.deepEqual(seen, { kind: "running", startedAt: new Date(T0 + 5000) });
});

test("what fails at once", () => {
  holds([
    [
      "config",
      waitingPod("CreateContainerConfigError", 'secret "x" not found'),
      "failed CreateContainerConfigError user final",
      /secret "x" not found; correct/,
    ],
    ["name", waitingPod("InvalidImageName", "bad"), "failed InvalidImageName user final", /"img"/],
    ["signature", waitingPod("SignatureValidationFailed"), "failed SignatureValidationFailed user final"],
  ]);
});

test("what may pass has its grace, from when it was first seen", () => {
  const rows: [reason: string, message: string, graceMs: number, end: string][] = [
    ["ErrImagePull", "not found", graces.imagePullMs, "failed ErrImagePull user"],
    ["ErrImagePull", "429 Too Many Requests", graces.imagePullMs, "failed ErrImagePull system"],
    ["ErrImagePull", "dial tcp: i/o timeout", graces.imagePullMs, "failed ErrImagePull system"],
    ["ImagePullBackOff", "", graces.imagePullMs, "failed ImagePullBackOff user"],
    ["ErrImageNeverPull", "absent", graces.imagePullMs, "failed ErrImageNeverPull user"],
    ["RegistryUnavailable", "", graces.imagePullMs, "failed RegistryUnavailable system"],
    ["CreateContainerError", "no command", graces.createContainerMs, "failed CreateContainerError user final"],
    ["CrashLoopBackOff", "", graces.createContainerMs, "failed CrashLoopBackOff user"],
    ["SomethingOfTomorrow", "", graces.createContainerMs, "failed SomethingOfTomorrow system"],
  ];
  for (const [reason, message, graceMs, end] of rows) {
    const first = look(waitingPod(reason, message));
    assert.ok(first.kind === "starting" && first.trouble, reason);
    assert.equal(first.after, graceMs, reason);
    const later = look(waitingPod(reason, message), 20 + graceMs / 2000, first.trouble);
    assert.equal(later.kind === "starting" && later.after, graceMs / 2, reason);
    assert.equal(short(look(waitingPod(reason, message), 20 + graceMs / 1000, first.trouble)), end, reason);
  }
});

test("a pull that fails, waits and fails again is one trouble, with the words of the failure", () => {
  const pull = look(waitingPod("ErrImagePull", "pulling: 429"), 0);
  assert.ok(pull.kind === "starting");
  const back = look(waitingPod("ImagePullBackOff", "Back-off pulling image"), 10, pull.trouble);
  assert.ok(back.kind === "starting");
  assert.deepEqual(back.trouble, pull.trouble);
  const end = look(waitingPod("ImagePullBackOff", "Back-off pulling image"), 180, back.trouble);
  assert.equal(short(end), "failed ImagePullBackOff system");
  assert.match(end.kind === "failed" ? end.error.message : "", /for 180 s.*429.*"img"/);
  const well = look(waitingPod("ContainerCreating"), 20, pull.trouble);
  assert.deepEqual(well, { kind: "starting" }, "what is over is forgotten");
});

test("the primary container ended by itself", () => {
  holds([
    ["zero", endedPod({}), "ended zero failed OutputsMissing user"],
    [
      "one",
      endedPod({ exitCode: 1, message: "Traceback" }),
      "ended failed ExitCode1 user",
      /exit code 1; its last log lines:\nTraceback/,
    ],
    ["abort", endedPod({ exitCode: 134 }), "ended failed SIGABRT user"],
    ["memory", endedPod({ exitCode: 137, reason: "OOMKilled" }), "ended failed OOMKilled user", /ask for more/],
    ["memory, exit code 1", endedPod({ exitCode: 1, reason: "OOMKilled" }), "ended failed OOMKilled user"],
    ["memory, exit code 0", endedPod({ exitCode: 0, reason: "OOMKilled" }), "ended failed OOMKilled user"],
    ["SIGKILL", endedPod({ exitCode: 137, reason: "Error" }), "ended failed Interrupted system"],
    ["SIGTERM", endedPod({ exitCode: 143 }), "ended failed Interrupted system"],
    [
      "no such program",
      endedPod({ exitCode: 128, reason: "StartError", message: 'exec: "a0": executable file not found in $PATH' }),
      "ended failed CommandNotFound user final",
    ],
    [
      "runtime in trouble",
      endedPod({ exitCode: 128, reason: "StartError", message: "cgroup: busy" }),
      "ended failed StartError system",
    ],
    [
      "a sidecar goes on",
      podWith(
        { phase: "Running", containerStatuses: [{ name: "main", state: { terminated: { exitCode: 3 } } }, sidecar] },
        { spec: two },
      ),
      "ended failed ExitCode3 user",
    ],
    [
      "finished before its pod was deleted",
      endedPod({ finishedAt: at(10) }, {}, { metadata: { deletionTimestamp: at(60), deletionGracePeriodSeconds: 30 } }),
      "ended zero failed OutputsMissing user",
    ],
  ]);
  const seen = look(endedPod({}));
  assert.ok(seen.kind === "ended");
  assert.deepEqual([seen.startedAt, seen.at], [new Date(T0 + 5000), new Date(T0 + 10_000)]);
});

test("the pod was taken from outside", () => {
  const target = (reason: string, seconds: number) => ({
    conditions: [
      { type: "DisruptionTarget", status: "True", reason, message: "m", lastTransitionTime: at(seconds) } as const,
    ],
  });
  const killed = { exitCode: 137, reason: "Error" };
  const rows: Row[] = [
    ...[
      "Evicted",
      "Shutdown",
      "Terminated",
      "NodeShutdown",
      "NodeAffinity",
      "Preempting",
      "UnexpectedAdmissionError",
      "OutOfcpu",
    ].map(
      (reason): Row => [
        reason,
        podWith({ phase: "Failed", reason, message: "why" }),
        "ended failed Interrupted system",
        new RegExp(`${reason}: why`),
      ],
    ),
    [
      "evicted with a container status",
      endedPod(killed, { reason: "Evicted", message: "low on resource: memory" }),
      "ended failed Interrupted system",
    ],
    [
      "evicted by its own limit",
      podWith({
        phase: "Failed",
        reason: "Evicted",
        message: "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
      }),
      "ended failed Evicted user",
    ],
    [
      "evicted, but out of memory first",
      endedPod({ exitCode: 137, reason: "OOMKilled" }, { reason: "Evicted" }),
      "ended failed OOMKilled user",
    ],
    [
      "preempted",
      endedPod(killed, target("PreemptionByScheduler", 8)),
      "ended failed Interrupted system",
      /PreemptionByScheduler: m/,
    ],
    ["drained, clean exit", endedPod({}, target("EvictionByEvictionAPI", 8)), "ended failed Interrupted system"],
    [
      "drained after the end",
      endedPod({}, target("EvictionByEvictionAPI", 12)),
      "ended zero failed OutputsMissing user",
    ],
    ["node deleted", endedPod({ ...killed, reason: "ContainerStatusUnknown" }), "ended failed Interrupted system"],
    [
      "node lost",
      podWith({ phase: "Running", reason: "NodeLost", containerStatuses: [running] }),
      "ended failed Interrupted system",
      /n1/,
    ],
    [
      "deleted by hand",
      endedPod({ exitCode: 143 }, {}, { metadata: { deletionTimestamp: at(30), deletionGracePeriodSeconds: 30 } }),
      "ended failed ResourceDeletedExternally system",
    ],
    [
      "deleted by hand, clean exit",
      endedPod({}, {}, { metadata: { deletionTimestamp: at(35), deletionGracePeriodSeconds: 30 } }),
      "ended failed ResourceDeletedExternally system",
    ],
    [
      "deadline",
      endedPod(killed, { reason: "DeadlineExceeded" }, { spec: { activeDeadlineSeconds: 9 } }),
      "ended timedOut MAX_RUNTIME_EXCEEDED user",
      /of 9 s/,
    ],
    [
      "deadline before the start",
      podWith({ phase: "Failed", reason: "DeadlineExceeded" }),
      "ended timedOut MAX_RUNTIME_EXCEEDED user",
    ],
    ["succeeded, statuses missing", podWith({ phase: "Succeeded" }), "ended zero failed OutputsMissing user"],
    ["failed, statuses missing", podWith({ phase: "Failed" }), "ended failed PodFailed system", /no reason/],
    [
      "failed for a new reason",
      podWith({ phase: "Failed", reason: "Tomorrow", message: "m" }),
      "ended failed PodFailed system",
      /Tomorrow: m/,
    ],
  ];
  holds(rows);
});

test("init containers that fail end the attempt; sidecars among them do not", () => {
  const init = (exitCode: number, reason?: string) => ({
    name: "init",
    state: { terminated: { exitCode, ...(reason ? { reason } : {}), message: "oh" } },
  });
  const spec = { initContainers: [{ name: "init" }] };
  const status = {
    phase: "Pending",
    containerStatuses: [{ name: "main", state: { waiting: { reason: "PodInitializing" } } }],
  } as const;
  holds([
    [
      "exit code",
      podWith(
        { ...status, containerStatuses: [...status.containerStatuses], initContainerStatuses: [init(2)] },
        { spec },
      ),
      "ended failed ExitCode2 user",
      /init container "init".*\noh/s,
    ],
    [
      "memory",
      podWith({ phase: "Failed", initContainerStatuses: [init(137, "OOMKilled")] }, { spec }),
      "ended failed OOMKilled user",
    ],
    [
      "done",
      podWith(
        { ...status, containerStatuses: [...status.containerStatuses], initContainerStatuses: [init(0)] },
        { spec },
      ),
      "starting",
    ],
    [
      "sidecar",
      podWith(
        { ...status, containerStatuses: [...status.containerStatuses], initContainerStatuses: [init(1)] },
        { spec: { initContainers: [{ name: "init", restartPolicy: "Always" }] } },
      ),
      "starting",
    ],
    [
      "cannot be made",
      podWith(
        {
          phase: "Pending",
          conditions: [scheduled],
          initContainerStatuses: [{ name: "init", state: { waiting: { reason: "InvalidImageName" } } }],
        },
        { spec },
      ),
      "failed InvalidImageName user final",
      /"init"/,
    ],
  ]);
});

test("nodes that do not answer", () => {
  const metadata = { deletionTimestamp: at(30) };
  const pod = podWith({ phase: "Running", containerStatuses: [running] }, { metadata });
  assert.deepEqual(look(pod, 40), { kind: "running", startedAt: new Date(T0 + 5000), after: 20_000 });
  assert.equal(short(look(pod, 60)), "ended failed Interrupted system");
  const starting = { ...waitingPod("ContainerCreating"), metadata: { ...pod.metadata, ...metadata } };
  assert.deepEqual(look(starting, 40), { kind: "starting", after: 20_000 });
  assert.equal(short(look(starting, 60)), "ended failed Interrupted system");

  for (const containerStatuses of [[running], []]) {
    const unknown = podWith({ phase: "Unknown", containerStatuses });
    const first = look(unknown, 100);
    assert.equal(first.kind, containerStatuses.length > 0 ? "running" : "starting");
    assert.ok((first.kind === "running" || first.kind === "starting") && first.after === graces.nodeLostMs);
    assert.equal(short(look(unknown, 130, first.trouble)), "ended failed Interrupted system");
  }
});

test("a pod is quiet when nothing of it runs", () => {
  assert.equal(isQuiet(endedPod({})), true);
  assert.equal(
    isQuiet(
      podWith({ phase: "Running", containerStatuses: [{ name: "main", state: { terminated: { exitCode: 0 } } }] }),
    ),
    true,
  );
  const half = [{ name: "main", state: { terminated: { exitCode: 0 } } }];
  assert.equal(isQuiet(podWith({ phase: "Running", containerStatuses: [...half, sidecar] }, { spec: two })), false);
  assert.equal(
    isQuiet(podWith({ phase: "Running", containerStatuses: half }, { spec: two })),
    false,
    "not known is not quiet",
  );
  assert.equal(isQuiet(podWith({ phase: "Pending" })), false);
});

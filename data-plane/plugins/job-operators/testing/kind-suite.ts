/** What every kind of job promises, on its operator's real schema: the test writes the status that the operator would. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create, fromBinary, type JsonObject } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  LogContextSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ContainerSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { LeaseParts } from "../../../executor/testing/leases.ts";
import type { Pod } from "../../pod/objects.ts";
import type { JobKind, JobObject } from "../index.ts";
import { needsOperator, operatorCluster } from "./operator-cluster.ts";

export interface KindSuite {
  kind: JobKind;
  /** As its SDK writes it. */
  custom: JsonObject;
  taskTypeVersion?: number;
  /** Statuses as the operator writes them. */
  says: {
    starting: object;
    running: object;
    succeeded: object;
    failed: object;
    /** Absent for an operator that knows no such thing. */
    suspended?: object;
  };
  /** What an attempt is that fails by the operator's word alone. */
  failure: { code: string; kind: "user" | "system" };
  /** Of a job's pods, the template and name of the one that is the task. */
  pod(job: JobObject): { name: string; template: Pick<Pod, "metadata" | "spec">; labels?: Record<string, string> };
}

const outputs = { outputs: { variables: [{ key: "o0", value: {} }] } };
const now = () => new Date().toISOString();

export function taskOf({
  custom,
  taskTypeVersion = 0,
}: Pick<KindSuite, "custom" | "taskTypeVersion">): NonNullable<LeaseParts["template"]> {
  const args = ["a0", "--inputs", "{{.input}}", "--outputs-path", "{{.outputPrefix}}", "it's $(HOME)"];
  const container = create(ContainerSchema, { image: "task:1", args, env: [{ key: "OWN", value: "$(x)" }] });
  return { target: { case: "container", value: container }, custom, taskTypeVersion, interface: outputs };
}

export async function kindSuite(suite: KindSuite): Promise<void> {
  const { kind, says } = suite;
  const needs = await needsOperator(kind);
  const template = taskOf(suite);

  test(
    `${kind.kind}: the real schema takes the job, and its status leads through the phases`,
    needs,
    async (t: TestContext) => {
      const one = await operatorCluster(t, { kinds: [kind] });
      const lease = (name: string) => one.lease(name, kind, { template });
      const all = {
        well: lease("well"),
        failed: lease("failed"),
        told: lease("told"),
        held: lease("held"),
        gone: lease("gone"),
        aborted: lease("aborted"),
      };

      const job = await one.job(kind, all.well);
      assert.equal(job.metadata.labels?.action, "well");
      assert.equal(job.metadata.labels?.["flyte.org/cluster"], "east");
      assert.equal(job.metadata.annotations?.["flyte.org/attempt-key"], "7/well/1");
      await one.says(kind, all.well, says.starting);
      await one.phase(all.well, "INITIALIZING");
      const pod = suite.pod(job);
      const primary = pod.template.spec.containers[0]?.name ?? "";
      const running = {
        phase: "Running" as const,
        containerStatuses: [status(primary, { running: { startedAt: now() } })],
      };
      await one.pod(pod.name, pod.template, { ...(pod.labels ? { labels: pod.labels } : {}), status: running });
      await one.says(kind, all.well, says.running);
      await one.phase(all.well, "RUNNING");
      await one.outputs(all.well);
      await one.says(kind, all.well, says.succeeded);
      const well = await one.released(all.well);
      assert.deepEqual(well.phases, ["INITIALIZING", "RUNNING", "SUCCEEDED"]);
      assert.equal(well.outputUri, "s3://flyte-data/p/development/r1/well/1");
      const bytes = well.reports.findLast(({ logContext }) => logContext.length > 0)?.logContext;
      const context = fromBinary(LogContextSchema, bytes ?? new Uint8Array());
      assert.equal(context.primaryPodName, pod.name);
      assert.equal(context.pods[0]?.primaryContainerName, primary);
      await one.isGone(kind, all.well);
      assert.deepEqual(await one.podNames(all.well), []);

      await one.says(kind, all.failed, says.failed);
      const failed = await one.released(all.failed);
      assert.equal(failed.phases.at(-1), "FAILED");
      const kinds = { user: ExecutionError_ErrorKind.USER, system: ExecutionError_ErrorKind.SYSTEM };
      assert.deepEqual(
        [failed.error?.code, failed.error?.kind],
        [suite.failure.code, kinds[suite.failure.kind]],
        failed.error?.message,
      );

      await one.says(kind, all.told, says.running);
      await one.phase(all.told, "RUNNING");
      const said = {
        code: "ValueError",
        message: "no",
        kind: ContainerError_Kind.NON_RECOVERABLE,
        origin: ExecutionError_ErrorKind.USER,
      };
      await one.error(all.told, said);
      await one.says(kind, all.told, says.failed);
      assert.equal((await one.released(all.told)).error?.code, "ValueError");

      if (says.suspended) {
        await one.says(kind, all.held, says.suspended);
        await one.phase(all.held, "WAITING_FOR_RESOURCES");
      }
      await one.says(kind, all.held, says.succeeded);
      const held = await one.released(all.held);
      assert.deepEqual([held.phases.at(-1), held.error?.code], ["FAILED", "OutputsMissing"]);

      await one.says(kind, all.gone, says.running);
      await one.phase(all.gone, "RUNNING");
      await one.remove(kind, all.gone);
      const gone = await one.released(all.gone);
      assert.deepEqual(
        [gone.error?.code, gone.error?.kind],
        ["ResourceDeletedExternally", ExecutionError_ErrorKind.SYSTEM],
      );

      const left = suite.pod(await one.job(kind, all.aborted));
      await one.pod(left.name, left.template, { ...(left.labels ? { labels: left.labels } : {}) });
      one.plane.abort(all.aborted);
      const aborted = await one.released(all.aborted);
      assert.equal(aborted.phases.at(-1), "ABORTED");
      await one.isGone(kind, all.aborted);
      assert.deepEqual(await one.podNames(all.aborted), []);
    },
  );
}

function status(name: string, state: object) {
  return { name, state, ready: true, restartCount: 0, image: "", imageID: "" };
}

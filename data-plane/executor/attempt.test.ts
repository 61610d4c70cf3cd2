/** Where an attempt reads and writes, and how its reports look. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { ContainerError_Kind, ExecutionErrorSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { type AttemptPhase, attemptKey, attemptPlaces, isTerminal, type Transition } from "./attempt.ts";
import { attemptReport, mergeReports } from "./report.ts";
import { leaseOf } from "./testing/leases.ts";

test("places of a first attempt lie below the run's output base", () => {
  assert.deepEqual(attemptPlaces(leaseOf({ inputUri: "s3://b/in" })), {
    attemptUri: "s3://flyte-data/p/development/r1/a0/1",
    inputUri: "s3://b/in/inputs.pb",
    rawDataPrefix: "s3://flyte-data/p/development/r1/a0/1",
    checkpointUri: "s3://flyte-data/p/development/r1/a0/1/_flytecheckpoints",
    previousCheckpointUri: "",
  });
});

test("a retry knows the checkpoint before it; a raw data prefix takes data and checkpoints", () => {
  const places = attemptPlaces(
    leaseOf({ attempt: 3, inputUri: "s3://b/x/inputs.pb", runOutputBase: "/data/r1", rawDataPrefix: "s3://raw/team/" }),
  );
  assert.equal(places.attemptUri, "/data/r1/a0/3");
  assert.equal(places.inputUri, "s3://b/x/inputs.pb");
  assert.equal(places.rawDataPrefix, "s3://raw/team/r1/a0/3");
  assert.equal(places.previousCheckpointUri, "s3://raw/team/r1/a0/2/_flytecheckpoints");
});

test("a key needs an action", () => {
  assert.equal(attemptKey(leaseOf({ name: "x" }).ref, 2), "7/x/2");
  assert.throws(() => attemptKey(undefined, 1), /names no action/);
});

test("merged reports say what both said, in order; the later word wins", () => {
  const lease = leaseOf();
  const at = new Date(1500);
  const running: Transition = { phase: "running", at };
  const failed: Transition = {
    phase: "failed",
    at,
    error: { code: "E", message: "m", kind: "system", recoverable: true },
  };
  const merged = mergeReports(
    attemptReport(lease, "s3://b/a", { transitions: [running], details: { logsAvailable: true } }),
    attemptReport(lease, "s3://b/a", { transitions: [failed], released: true }),
  );
  assert.deepEqual(
    merged.transitions.map((one) => one.phase),
    [4, 6],
  );
  assert.equal(merged.transitions[0]?.at?.seconds, 1n);
  assert.equal(merged.transitions[0]?.at?.nanos, 500_000_000);
  assert.equal(merged.logsAvailable, true);
  assert.equal(merged.released, true);
  const error = fromBinary(ExecutionErrorSchema, merged.error);
  assert.deepEqual([error.code, error.kind, error.recoverability], ["E", 2, ContainerError_Kind.RECOVERABLE]);
  assert.equal(error.timestamp?.seconds, 1n);
  const succeeded = attemptReport(lease, "s3://b/a", {
    transitions: [{ phase: "succeeded", at, outputUri: "s3://b/a" }],
  });
  assert.equal(mergeReports(merged, succeeded).outputUri, "s3://b/a");
});

test("every phase has its number on the wire, and those before the end are no end", () => {
  const at = new Date(0);
  const error = { code: "E", message: "m", kind: "user", recoverable: false } as const;
  const phases: [AttemptPhase, number, boolean][] = [
    ["waitingForResources", 2, false],
    ["initializing", 3, false],
    ["running", 4, false],
    ["succeeded", 5, true],
    ["failed", 6, true],
    ["aborted", 7, true],
    ["timedOut", 8, true],
  ];
  for (const [phase, number, terminal] of phases) {
    const transition = { phase, at, error } as Transition;
    assert.equal(attemptReport(leaseOf(), "s3://b/a", { transitions: [transition] }).transitions[0]?.phase, number);
    assert.equal(isTerminal(transition), terminal, phase);
  }
  assert.equal(isTerminal(undefined), false);
});

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { ActionPhase, isLegalMove, isTerminal, phaseName } from "./phase.ts";

const known = Object.values(ActionPhase).filter((phase) => typeof phase === "number");
const anyPhase = fc.constantFrom(...known);

test("five phases are final, the others are not", () => {
  const final = known.filter(isTerminal).map(phaseName).sort();
  assert.deepEqual(final, ["ABORTED", "FAILED", "RECOVERED", "SUCCEEDED", "TIMED_OUT"]);
});

test("nothing leads out of a final phase, and nothing stays where it is by a move", () => {
  for (const from of known) {
    assert.equal(isLegalMove(from, from), false, phaseName(from));
    if (isTerminal(from)) for (const to of known) assert.equal(isLegalMove(from, to), false, phaseName(from));
  }
});

test("every live phase can be ended in every way", () => {
  const live = known.filter((phase) => phase !== ActionPhase.UNSPECIFIED && !isTerminal(phase));
  for (const from of live) {
    for (const to of known.filter(isTerminal))
      assert.ok(isLegalMove(from, to), `${phaseName(from)} → ${phaseName(to)}`);
  }
});

test("an unspecified or unknown phase is no part of any move", () => {
  fc.assert(
    fc.property(anyPhase, fc.integer({ min: 11, max: 1_000_000 }), (phase, unknown) => {
      for (const stranger of [ActionPhase.UNSPECIFIED, unknown, -unknown]) {
        assert.equal(isLegalMove(phase, stranger), false);
        assert.equal(isLegalMove(stranger, phase), false);
      }
    }),
  );
});

test("whatever is asked for in whatever order, a final phase is the last one", () => {
  fc.assert(
    fc.property(fc.array(anyPhase, { maxLength: 40 }), (wanted) => {
      let phase: number = ActionPhase.QUEUED;
      let final: number | undefined;
      for (const to of wanted) {
        if (isLegalMove(phase, to)) phase = to;
        if (final !== undefined) assert.equal(phase, final);
        if (isTerminal(phase)) final = phase;
      }
    }),
  );
});

test("an attempt that runs can only end or be tried again; what is paused can only end", () => {
  const liveAfter = (from: number) => known.filter((to) => !isTerminal(to) && isLegalMove(from, to));
  assert.deepEqual(liveAfter(ActionPhase.RUNNING), [ActionPhase.QUEUED]);
  assert.deepEqual(liveAfter(ActionPhase.PAUSED), []);
});

test("names are those of the contract; a number from a newer one names itself", () => {
  assert.equal(phaseName(ActionPhase.WAITING_FOR_RESOURCES), "WAITING_FOR_RESOURCES");
  assert.equal(phaseName(77), "77");
});

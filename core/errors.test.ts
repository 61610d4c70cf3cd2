import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError, aborted, invalidArgument, notFound, resourceExhausted } from "./errors.ts";

test("a factory makes an AppError of its kind that keeps cause and slug", () => {
  const cause = new Error("duplicate key");
  const error = resourceExhausted("queue default is full; wait for actions to end", { slug: "queue-full", cause });
  assert.ok(error instanceof AppError);
  assert.ok(error instanceof Error);
  assert.equal(error.name, "AppError");
  assert.equal(error.kind, "resource_exhausted");
  assert.equal(error.slug, "queue-full");
  assert.equal(error.cause, cause);
  assert.match(error.message, /queue default is full/);
});

test("without options there is no slug and no cause", () => {
  for (const [make, kind] of [
    [invalidArgument, "invalid"],
    [notFound, "not_found"],
    [aborted, "aborted"],
  ] as const) {
    const error = make("x");
    assert.equal(error.kind, kind);
    assert.equal(error.slug, undefined);
    assert.equal("cause" in error, false);
  }
});

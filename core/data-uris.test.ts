import assert from "node:assert/strict";
import { test } from "node:test";
import { inputsObjectUri, outputsObjectUri } from "./data-uris.ts";

test("folders and full paths both lead to the object", () => {
  for (const uri of ["s3://b/r/a1", "s3://b/r/a1/", "s3://b/r/a1/inputs.pb"]) {
    assert.equal(inputsObjectUri(uri), "s3://b/r/a1/inputs.pb");
  }
  assert.equal(outputsObjectUri("s3://b/zz/r/a1/2"), "s3://b/zz/r/a1/2/outputs.pb");
  assert.equal(outputsObjectUri("s3://b/trace/custom.pb"), "s3://b/trace/custom.pb");
});

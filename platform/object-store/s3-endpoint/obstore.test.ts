import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";
import { startTestEndpoint, TEST_CREDENTIALS } from "./test-endpoint.ts";

const PYTHON = join(process.env.FLYTE_TS_TEST_VENV ?? join(import.meta.dirname, "../../../.venv"), "bin/python");
// In CI everything must be there, so that a missing client shows as a failure and not as a skip.
const missing = !existsSync(PYTHON) && process.env.CI === undefined && `${PYTHON} is missing: run npm test once`;

it("serves the storage client of the Flyte SDK", { skip: missing }, async (t) => {
  const served = await startTestEndpoint();
  t.after(() => served.close());
  const script = join(import.meta.dirname, "obstore_driver.py");
  const { accessKeyId, secretAccessKey } = TEST_CREDENTIALS;
  const { stdout } = await promisify(execFile)(PYTHON, [script, served.url, accessKeyId, secretAccessKey]);
  assert.deepEqual(JSON.parse(stdout), {
    head: ["dir/small", 5, true],
    get: "hello",
    range: "ell",
    multipart: true,
    ranges: true,
    writer: true,
    names: true,
    list: true,
    level: [["names/日本"], 3],
    copy: "é+%&?#",
    delete: [],
    empty: 0,
    absent: "FileNotFoundError",
  });
  assert.deepEqual(served.failures, []);
});

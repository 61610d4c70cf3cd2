/** A connector behind TLS. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { whyNoPython } from "../process/testing/python.ts";
import { eventsIn, jobLease, reasonsIn, rig } from "./testing/rig.ts";

test("TLS: a trusted certificate works, another one is a connector that cannot be reached", {
  skip: whyNoPython(),
}, async () => {
  await using parts = await rig({ command: (port) => ["-m", "secure_service", String(port), "certificate.pem"] });
  await parts.service.start();
  const caFile = join(parts.jobs, "certificate.pem");
  {
    await using run = parts.start({ config: { insecure: false, taskTypes: ["test_job"] } });
    run.plane.lease(jobLease("tls"));
    await run.plane.until(() => reasonsIn(run.plane.told("7/tls/1")).includes("ConnectorUnreachable"));
    assert.match(eventsIn(run.plane.told("7/tls/1"))[0]?.message ?? "", /self-signed certificate/);
    assert.equal(run.plane.told("7/tls/1").released, false);
  }
  await using run = parts.start({ config: { insecure: false, caFile } });
  await parts.write("tls-0.next.json", { phase: "SUCCEEDED" });
  run.plane.lease(jobLease("tls"));
  await run.plane.until(() => run.plane.told("7/tls/1").released);
  assert.equal(run.plane.told("7/tls/1").phases.at(-1), "SUCCEEDED");
  assert.throws(() => parts.start({ config: { insecure: false, caFile: "/no/such/file" } }), /ENOENT/);
});

/** Several all-in-one servers on one database: the machine of each is a cluster of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ownDatabase } from "./support/database.ts";
import { runProgram, startServer, type TestServer } from "./support/server.ts";
import { waitFor } from "./support/wait.ts";

const logged = (server: TestServer, text: string) =>
  waitFor(async () => (await server.log()).split("\n").find((line) => line.includes(text)), {
    what: `"${text}" in the log of a server`,
    explain: () => server.log(),
  });

test("a second server on the database is told that the name is taken, and one with another name is a cluster too", async (t) => {
  const args = ["--database-url", (await ownDatabase(t)).url()];
  const first = await startServer(t, { args });
  await logged(first, "connected to the control plane");
  const [second] = await Promise.all([
    startServer(t, { args }),
    startServer(t, { args, env: { FLYTE_TS_EMBEDDED_CLUSTER: "laptop" } }),
  ]);
  const told = JSON.parse(await logged(second, "the control plane refuses this executor")) as { reason: string };
  assert.match(
    told.reason,
    /^the name embedded belongs to a live cluster with uid .*give this one a name of its own \(embedded\.cluster /,
  );

  const clusters = async () =>
    (await runProgram(t, ["cluster", "list", "--endpoint", second.url])).stdout
      .split("\n")
      .map((line) => line.split(/ +/).slice(0, 3).join(" "));
  const list = await waitFor(async () => ((await clusters()).length >= 4 ? clusters() : undefined), {
    what: "both clusters",
  });
  assert.deepEqual(list.slice(1, 3), ["embedded live embedded", "laptop live embedded"]);
  // Nobody took it away, and it has the same uid after a restart.
  assert.doesNotMatch(await first.log(), /took over|refuses/);
  await first.restart();
  await waitFor(async () => (await first.log()).split('"connected to the control plane"').length === 3, {
    what: "the first server's cluster, to come back",
    explain: () => first.log(),
  });
  assert.doesNotMatch(await first.log(), /took over|refuses/);
});

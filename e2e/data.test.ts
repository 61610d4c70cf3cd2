/** Files and folders through the object store, reports, and logs that are read while a task runs. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { ArtifactType } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { logOf, outputsOf, phaseOf } from "./support/runs.ts";
import { setStage } from "./support/stage.ts";
import { waitFor } from "./support/wait.ts";
import { actionId } from "./support/wire.ts";

const stage = await setStage({ after });
const go = (name: string) => join(stage.shared, name);
const [files = "", report = "", talk = ""] = await stage.python.submit(
  "data",
  { task: "files", inputs: { file: { "@file": "grüße ✨\n", "@name": "größe 1.txt" } } },
  { task: "reporting", inputs: { release: go("report") } },
  { task: "talking", inputs: { release: go("talk") } },
);

test("log lines arrive while the task runs, each once, and the stream ends with it", async () => {
  const said: string[] = [];
  let phaseAtFirstLine: string | undefined;
  await waitFor(async () => (await firstLines(talk)).length > 0, { what: "the first line of the log" });
  for await (const { logs } of stage.wire.data.tailLogs({ actionId: actionId(talk), attempt: 1 })) {
    for (const { lines } of logs) said.push(...lines.map(({ message }) => message.trimEnd()));
    if (phaseAtFirstLine === undefined && said.includes("first line ✨")) {
      phaseAtFirstLine = await phaseOf(stage.wire, talk);
      await writeFile(go("talk"), "");
    }
  }
  assert.equal(phaseAtFirstLine, "RUNNING");
  const ours = said.filter((line) => /^(first line|line \d|to stderr)/.test(line));
  assert.deepEqual(ours.sort(), ["first line ✨", "line 0", "line 1", "line 2", "to stderr"]);
  assert.deepEqual(await outputsOf(stage.wire, talk), [3]);
  assert.deepEqual(await logOf(stage.wire, talk), said, "the stored log is what was streamed");
});

test("a report can be read while its task runs, and its last state afterwards", async () => {
  await waitFor(async () => (await reportOf(report)).includes("half way"), { what: "the first report" });
  assert.equal(await phaseOf(stage.wire, report), "RUNNING");
  await writeFile(go("report"), "");
  assert.deepEqual(await outputsOf(stage.wire, report), ["done"]);
  assert.match(await reportOf(report), /all of it ✨/);
});

test("a file goes from the client through two tasks, a folder from task to task", async () => {
  assert.deepEqual(await outputsOf(stage.wire, files), ["GRÜSSE ✨\n", 10]);
});

/** What there is of a log now, without waiting for its end. */
async function firstLines(run: string): Promise<string[]> {
  const lines: string[] = [];
  const stop = new AbortController();
  for await (const { logs } of stage.wire.data.tailLogs(
    { actionId: actionId(run), attempt: 1 },
    { signal: stop.signal },
  )) {
    for (const log of logs) lines.push(...log.lines.map(({ message }) => message));
    break;
  }
  stop.abort();
  return lines;
}

async function reportOf(run: string): Promise<string> {
  const { preSignedUrls } = await stage.wire.data.createDownloadLink({
    artifactType: ArtifactType.REPORT,
    source: { case: "actionAttemptId", value: { actionId: actionId(run), attempt: 1 } },
  });
  const answer = await fetch(preSignedUrls?.signedUrl[0] ?? "");
  return answer.ok ? answer.text() : "";
}

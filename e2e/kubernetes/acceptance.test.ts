/**
 * The acceptance cases where tasks are pods of a real cluster, and see nothing of this machine's disk. Few of each section,
 * since a pod's Python takes two seconds of a core to start; FLYTE_TS_ACCEPTANCE_KUBERNETES=all runs all that must pass,
 * or it names others (globs, comma separated). The harness' limits are for processes, so they are given more.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { acceptanceCases, examples, needsAcceptance, sections } from "../support/acceptance.ts";
import { setKubernetesStage } from "../support/kubernetes-stage.ts";

const needs = { skip: needsAcceptance.skip || needsCluster("node").skip };
const wanted = process.env.FLYTE_TS_ACCEPTANCE_KUBERNETES ?? "";
const all = Object.values(sections).flat();

/** Where a pod makes a difference: logs, memory that is out, retries, files through the store, aborts. */
const few: Record<keyof typeof sections, readonly string[]> = {
  basics: ["no-outputs", "user-logging", "hello-fails", "map-error"],
  types: ["types-simple", "types-union"],
  "tasks as functions": ["display-names", "overrides"],
  durability: ["exception-handling", "non-recoverable", "trace-fanout", "checkpoint"],
  "reports, logs, files": ["report-get", "report-live", "logs-live", "file-upload", "file-overwrite"],
  "cancel and abort": ["cancel-siblings", "abort-run", "abort-action"],
};

test("acceptance cases on Kubernetes", needs, async (t) => {
  const { server } = await setKubernetesStage(t);
  const only = wanted === "all" ? all : wanted ? wanted.split(",") : Object.values(few).flat();
  const args = ["--no-shared-dir", "--jobs", "4", "--scale", "4", "--examples", await modestExamples(t)];
  await acceptanceCases(t, { server, only, args });
});

/** Upstream's examples, whose tasks ask for a core each: a node of two would never start the children of two parents. */
async function modestExamples(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-examples-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await cp(examples, folder, { recursive: true });
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith(".py")) continue;
    const source = await readFile(join(folder, name), "utf8");
    await writeFile(join(folder, name), source.replaceAll(/\bcpu=1\b/g, 'cpu=("10m", "1")'));
  }
  return folder;
}

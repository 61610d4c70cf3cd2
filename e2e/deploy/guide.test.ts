/** The guide names what there is: every flag of the executor, every key of its pods, and no value that the chart does not have. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { podConfig } from "@flyte-ts/data-plane/plugins/pod";
import { parse } from "yaml";
import { chart } from "../support/helm.ts";
import { runProgram } from "../support/server.ts";

const guide = await readFile(fileURLToPath(new URL("../../docs/guide/kubernetes.md", import.meta.url)), "utf8");

test("every flag of the executor, and no other", async (t) => {
  const { stdout } = await runProgram(t, ["executor", "--help"]);
  const flags = new Set(stdout.matchAll(/^ {2}(--[a-z-]+)/gm).map(([, flag = ""]) => flag));
  assert.ok(flags.size > 10);
  const table = guide.slice(guide.indexOf("## The executor's configuration"), guide.indexOf("Keys of `pods`"));
  const told = new Set(table.matchAll(/`(--[a-z-]+)`/g).map(([, flag = ""]) => flag));
  assert.deepEqual([...flags.difference(told)], ["--json"]);
  assert.deepEqual([...told.difference(flags)], []);
});

test("every key of a cluster's pods", () => {
  const keys = [...Object.keys(podConfig.shape), ...Object.keys(podConfig.parse({}).graces)];
  const table = guide.slice(guide.indexOf("Keys of `pods`"), guide.indexOf("## What tasks get"));
  assert.deepEqual(
    keys.filter((key) => !table.includes(`\`${key}\``)),
    [],
  );
});

test("values of the chart exist", async () => {
  const values = parse(await readFile(join(chart, "values.yaml"), "utf8"));
  const named = guide.matchAll(/`((?:executor|controlPlane|objectStore|image|database|crd)\.[A-Za-z.]+)/g);
  // Keys of the programs' own files look the same.
  const own = /^(controlPlane|executor)\.config\b|^objectStore\.$/;
  const paths = [...new Set(named.map(([, path = ""]) => path))].filter((path) => !own.test(path));
  assert.ok(paths.length > 8);
  for (const path of paths) {
    let at = values;
    for (const part of path.split(".")) {
      assert.ok(at !== null && typeof at === "object" && Object.hasOwn(at, part), `the chart has no value ${path}`);
      at = at[part];
    }
  }
});

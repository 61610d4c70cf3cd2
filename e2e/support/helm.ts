/**
 * Helm and our chart: the program that `scripts/helm` pins, and what the chart makes of values.
 *
 * ```ts
 * test("two replicas", needsHelm(), async (t) => {
 *   const objects = await render(t, { controlPlane: { replicas: 2 } });
 * });
 * ```
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parseAllDocuments, stringify } from "yaml";
import type { Scope } from "./server.ts";

export const chart = fileURLToPath(new URL("../../deploy/helm/flyte-ts", import.meta.url));
const build = fileURLToPath(new URL("../../scripts/helm/build.sh", import.meta.url));
const run = promisify(execFile);

export type Values = Readonly<Record<string, unknown>>;

/** An object of Kubernetes, as far as tests look into any of them. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: what people write in YAML; assertions are about it.
  [field: string]: any;
}

/** What the chart needs at least. */
export const least: Values = {
  image: { repository: "localhost/flyte-ts" },
  database: { url: "postgres://flyte:hush@db.example:5432/flyte" },
  objectStore: { url: "s3://bucket/prefix" },
};

/** For node:test's options: a skip that says what is missing; under CI the test runs, and fails. */
export function needsHelm(): { skip: string | false } {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "flyte-ts/helm");
  const built = existsSync(cache) && readdirSync(cache).some((name) => /^helm-v[\d.]+$/.test(name));
  const go = (process.env.PATH ?? "").split(delimiter).some((folder) => folder && existsSync(join(folder, "go")));
  const there = built || go || process.env.HELM || process.env.CI;
  return { skip: there ? false : "no Helm to test with: install Go to build one, or name one in HELM" };
}

/** What Helm prints; it sees nothing of the tester's own settings. */
export async function helm(t: Scope, ...args: string[]): Promise<string> {
  const program = (await run(build)).stdout.trim();
  const home = await mkdtemp(join(tmpdir(), "flyte-ts-helm-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const env = { PATH: process.env.PATH ?? "", HOME: home };
  return (await run(program, args, { env, cwd: home, maxBuffer: 64 << 20 })).stdout;
}

/** A file with these values, for Helm's `--values`. */
export function valuesFile(t: Scope, values: Values): Promise<string> {
  return fileOf(t, stringify(values));
}

/** A file with this text, until the test ends. */
export async function fileOf(t: Scope, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-yaml-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "file.yaml");
  await writeFile(file, text);
  return file;
}

export interface RenderOptions {
  /** Of the release. */
  namespace?: string;
  /** Before the values: `["--values", file]`. */
  args?: readonly string[];
}

/** The text that `helm template` prints of a release `test`. */
export async function rendered(t: Scope, values: Values, { namespace = "flyte", args = [] }: RenderOptions = {}) {
  const file = await valuesFile(t, values);
  return helm(t, "template", "test", chart, "--namespace", namespace, ...args, "--values", file);
}

export async function render(t: Scope, values: Values, options: RenderOptions = {}): Promise<Manifest[]> {
  return manifestsOf(await rendered(t, { ...least, ...values }, options));
}

export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest | null) ?? []);
}

/** What Helm says when it refuses. */
export async function refusal(t: Scope, values: Values): Promise<string> {
  try {
    await rendered(t, values);
  } catch (error) {
    return (error as { stderr?: string }).stderr ?? String(error);
  }
  throw new Error("the values should have been refused");
}

/**
 * The operators' own schemas for the test cluster: taken from where they are published, once a machine, and checked
 * against the hashes noted here. Nothing of them is kept in this repository.
 *
 * Where neither the cache has them nor their sources can be reached, tests that need them are skipped and say so; under
 * CI they fail.
 */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import { eventually, type TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { unless } from "../../pod/unless.ts";
import type { JobKind } from "../kind.ts";
import { type Condition, holding } from "../status.ts";

const run = promisify(execFile);

interface Source {
  /** A Go module, or a package of Python. */
  from: { module: string } | { package: string };
  version: string;
  path: string;
  sha256: string;
}

const training = { module: "github.com/kubeflow/training-operator" };

/** By the plural. */
const sources: Readonly<Record<string, Source>> = {
  jobsets: {
    from: { module: "sigs.k8s.io/jobset" },
    version: "v0.11.0",
    path: "config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",
    sha256: "2217e8cdd9fc17d358ab3aaa41ce1ac67a03b13ddcbd0a4e9dfaecb64638b6ed",
  },
  rayjobs: {
    from: { module: "github.com/ray-project/kuberay/ray-operator" },
    version: "v1.5.0",
    path: "config/crd/bases/ray.io_rayjobs.yaml",
    sha256: "a2d8246e4573896ed68d5f439f4de716e220ef15df3832652d8ee68cc86e6190",
  },
  sparkapplications: {
    from: { module: "github.com/kubeflow/spark-operator/v2" },
    version: "v2.3.0",
    path: "config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml",
    sha256: "50d3eeb2d5a58e162ed06e9a6d849227ed3522b0887a51b705dc1af8a0d53371",
  },
  daskjobs: {
    from: { package: "dask-kubernetes" },
    version: "2026.3.0",
    path: "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds/daskjob.yaml",
    sha256: "f81511cbbdd0d8421301b9b4499dfe51eee66e5e514a878d188801d36d7a668e",
  },
  pytorchjobs: {
    from: training,
    version: "v1.8.1",
    path: "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",
    sha256: "2e38887fa7c47f01c4a13548feeb179d1e26b98f2eb3eb755b8ac64ac9084036",
  },
  tfjobs: {
    from: training,
    version: "v1.8.1",
    path: "manifests/base/crds/kubeflow.org_tfjobs.yaml",
    sha256: "b5a332daa47d7b63b804818938ab77c529a9afaf27e36bdc5ab615775ca827c5",
  },
  mpijobs: {
    from: training,
    version: "v1.8.1",
    path: "manifests/base/crds/kubeflow.org_mpijobs.yaml",
    sha256: "7e45bdcb046e2c3ec2106f270bb0c00468e8a816d4b9b23f751c2cc750e7780c",
  },
};

/** Why the schema cannot be had here, or undefined; asked before tests, so that they can say that they are skipped. */
export async function missingSchema(plural: string): Promise<string | undefined> {
  try {
    await schemaFile(plural);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

interface Definition extends KubeObject {
  status?: { conditions?: Condition[] };
}

/** Which schema a definition in the shared cluster has: applying a megabyte again takes seconds. */
const MARK = "flyte.org/test-schema";

/** Teaches a cluster an operator's kind. */
export async function installSchema({ client, kubectl }: TestCluster, kind: JobKind): Promise<void> {
  const { group, plural } = kind.resource;
  const which = { group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions" };
  const definitions = client.resource<Definition>({ ...which, namespaced: false });
  const name = `${plural}.${group}`;
  const sha256 = sources[plural]?.sha256;
  const file = await schemaFile(plural);
  const known = await unless("NotFound", definitions.get(name));
  if (known?.metadata.annotations?.[MARK] !== sha256) {
    // The schemas are too large for what an apply on the client's side remembers.
    const how = ["--server-side", "--force-conflicts", "--field-manager=flyte-ts-test"];
    await kubectl("apply", ...how, "--filename", file);
  }
  await eventually(async () => holding((await definitions.get(name)).status?.conditions, "Established"));
  await definitions.patch(name, { metadata: { annotations: { [MARK]: sha256 ?? "" } } });
}

async function schemaFile(plural: string): Promise<string> {
  const source = sources[plural];
  if (!source) throw new Error(`no source is noted for the schema of ${plural}: add it to operator-crds.ts`);
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(cache, "flyte-ts/operator-crds");
  const file = join(folder, `${plural}-${source.version}.yaml`);
  if (existsSync(file) && hashOf(await readFile(file)) === source.sha256) return file;
  const bytes = await download(plural, source);
  await mkdir(folder, { recursive: true });
  const part = `${file}.${randomBytes(4).toString("hex")}`;
  await writeFile(part, bytes);
  await rename(part, file);
  return file;
}

async function download(plural: string, source: Source): Promise<Buffer> {
  const { from, version, path, sha256 } = source;
  const what = "module" in from ? `Go module ${from.module}@${version}` : `package ${from.package}==${version}`;
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-crd-"));
  let bytes: Buffer;
  try {
    bytes =
      "module" in from
        ? await fromModule(`${from.module}@${version}`, path, folder)
        : await fromPackage(`${from.package}==${version}`, path, folder);
  } catch (cause) {
    // `go` says in its answer what is wrong, others on the other channel.
    const { stderr, stdout, message } = cause as Error & { stderr?: string; stdout?: string };
    const why = `${stderr || /"Error": "(.*)"/.exec(String(stdout))?.[1] || message}`.trim();
    throw new Error(`the schema of ${plural} cannot be had from the ${what}: ${why.slice(-300)}`, { cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (hashOf(bytes) !== sha256) throw new Error(`the schema of ${plural} from the ${what} is not the one noted here`);
  return bytes;
}

async function fromModule(module: string, path: string, cwd: string): Promise<Buffer> {
  const env = { ...process.env, GOFLAGS: "-mod=mod", GOWORK: "off" };
  const { stdout } = await run("go", ["mod", "download", "-json", module], { cwd, env });
  return readFile(join((JSON.parse(stdout) as { Dir: string }).Dir, path));
}

async function fromPackage(requirement: string, path: string, cwd: string): Promise<Buffer> {
  const quiet = ["--quiet", "--no-input", "--disable-pip-version-check"];
  const only = ["--no-deps", "--only-binary=:all:", "--dest", cwd];
  await run("python3", ["-m", "pip", "download", ...quiet, ...only, requirement]);
  const script =
    "import glob, sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(glob.glob('*.whl')[0]).read(sys.argv[1]))";
  const { stdout } = await run("python3", ["-c", script, path], { cwd, encoding: "buffer", maxBuffer: 64 << 20 });
  return stdout;
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

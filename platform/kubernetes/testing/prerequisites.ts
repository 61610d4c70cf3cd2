/** What the test cluster needs on this machine, and where its programs are kept. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ClusterMode } from "../testing.ts";

export const kubeScripts = fileURLToPath(new URL("../../../scripts/kube/", import.meta.url));

/** As the scripts choose it. */
export function kubeCache(): string {
  const { KUBE_CACHE, XDG_CACHE_HOME } = process.env;
  return KUBE_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "flyte-ts/kube");
}

/** A sentence, when there can be no cluster of this kind here. */
export function missingPrerequisite(mode: ClusterMode): string | undefined {
  if (process.env.KUBECONFIG) return undefined;
  const instead = "set KUBECONFIG to use another cluster";
  if (process.platform !== "linux") return `the test cluster needs Linux; ${instead}`;
  if (mode === "node" && process.geteuid?.() !== 0) return `real pods need root; ${instead}`;
  const prebuilt = process.env.KUBE_PREBUILT || join(kubeScripts, "../../../shared/kube/prebuilt");
  const programs = mode === "kwok" ? ["etcd", "kube", "kwok"] : ["etcd", "kube"];
  const built = (dir: string, name: (program: string) => string) =>
    programs.every((program) => existsSync(join(dir, name(program))));
  if (built(join(kubeCache(), "bin"), (program) => program)) return undefined;
  if (onPath("go")) return undefined;
  if (built(prebuilt, (program) => `${program}-linux-amd64.zst`)) return undefined;
  return `no Kubernetes to test with: install Go to build one, name finished programs in KUBE_PREBUILT, or ${instead}`;
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((dir) => dir !== "" && existsSync(join(dir, program)));
}

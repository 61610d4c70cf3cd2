/** A cluster as one of its service accounts sees it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KubernetesClient, kubernetesClient, loadConnection } from "@flyte-ts/platform/kubernetes";
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { parse, stringify } from "yaml";
import type { Scope } from "./server.ts";

interface Kubeconfig {
  clusters: object[];
  users: { name: string; user: object }[];
}

/** With a token of its own, and nothing of the administrator's. */
export async function asAccount(
  t: Scope,
  { kubeconfig, kubectl, namespace }: TestCluster,
  name: string,
): Promise<KubernetesClient> {
  const token = (await kubectl("create", "token", name, "--namespace", namespace)).trim();
  const config = parse(await readFile(kubeconfig, "utf8")) as Kubeconfig;
  for (const user of config.users) user.user = { token };
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-account-"));
  const file = join(folder, "kubeconfig");
  await writeFile(file, stringify(config), { mode: 0o600 });
  const client = kubernetesClient({ connection: await loadConnection({ kubeconfig: file }) });
  t.after(async () => {
    client.close();
    await rm(folder, { recursive: true });
  });
  return client;
}

export interface Question {
  verb: string;
  resource: string;
  group?: string;
  subresource?: string;
  namespace?: string;
  name?: string;
}

/** `kubectl auth can-i`, asked by the client itself. */
export async function mayI(client: KubernetesClient, resourceAttributes: Question): Promise<boolean> {
  const review = await client.request<{ status: { allowed: boolean } }>({
    method: "POST",
    path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      spec: { resourceAttributes },
    },
  });
  return review.status.allowed;
}

/** A cluster as one of its service accounts sees it. */
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type KubeObject,
  type KubernetesClient,
  kubernetesClient,
  loadConnection,
} from "@flyte-ts/platform/kubernetes";
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { parse, stringify } from "yaml";
import type { Scope } from "./server.ts";

interface Kubeconfig {
  clusters: object[];
  users: { name: string; user: object }[];
}

/** With a token of its own, and nothing of the administrator's. */
export async function asAccount(t: Scope, cluster: TestCluster, name: string): Promise<KubernetesClient> {
  const connection = await loadConnection({ kubeconfig: await kubeconfigOf(t, cluster, name) });
  const client = kubernetesClient({ connection });
  t.after(async () => client.close());
  return client;
}

/** The same as a file. */
export async function kubeconfigOf(
  t: Scope,
  { kubeconfig, kubectl, namespace }: TestCluster,
  name: string,
): Promise<string> {
  const token = (await kubectl("create", "token", name, "--namespace", namespace)).trim();
  const config = parse(await readFile(kubeconfig, "utf8")) as Kubeconfig;
  for (const user of config.users) user.user = { token };
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-account-"));
  const file = join(folder, "kubeconfig");
  await writeFile(file, stringify(config), { mode: 0o600 });
  t.after(() => rm(folder, { recursive: true }));
  return file;
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

export interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

export const allow = (apiGroups: string[], resources: string[], verbs: string[]): Rule[] => [
  { apiGroups, resources, verbs },
];

/** Gives a service account rights in its own namespace, beside those that it has. */
export async function grant({ client, namespace }: TestCluster, account: string, rules: Rule[]): Promise<void> {
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const kind = { group: "rbac.authorization.k8s.io", version: "v1", namespaced: true };
  const name = `${account}-${randomBytes(3).toString("hex")}`;
  await client
    .resource<KubeObject & { rules: Rule[] }>({ ...kind, plural: "roles" })
    .create({ apiVersion, kind: "Role", metadata: { name, namespace }, rules });
  await client
    .resource<KubeObject & { roleRef: object; subjects: object[] }>({ ...kind, plural: "rolebindings" })
    .create({
      apiVersion,
      kind: "RoleBinding",
      metadata: { name, namespace },
      roleRef: { apiGroup: kind.group, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name: account, namespace }],
    });
}

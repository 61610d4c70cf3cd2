/**
 * How to reach an API server: from a kubeconfig, or from the service account of the pod we run in.
 *
 *     const connection = await loadConnection();                       // KUBECONFIG, the pod's account, ~/.kube/config
 *     const connection = await loadConnection({ kubeconfig: "/etc/flyte/gpu.kubeconfig", context: "gpu" });
 *
 * Promise: files of tokens are read again while we run, so that rotated tokens work; exec plugins are run again when
 * what they gave has expired. Certificates of the server are checked unless the kubeconfig says otherwise. What we
 * cannot do (legacy auth providers, proxies) is refused here with a way out, not ignored.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import type { z } from "zod";
import { execCredentials } from "./exec-credentials.ts";
import { type clusterSchema, kubeconfigSchema, type userSchema } from "./kubeconfig-schema.ts";

/** What one request needs to be let in. */
export interface Credentials {
  token?: string;
  /** Of the client certificate. */
  cert?: string;
  key?: string;
}

export interface Connection {
  readonly server: URL;
  /** The context's, or `default`. */
  readonly namespace: string;
  readonly tls: { ca?: string; servername?: string; rejectUnauthorized: boolean };
  /** Headers of every request, for impersonation. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  credentials(): Promise<Credentials>;
  /** The server did not know these credentials; the next ones are made anew. */
  forget(): void;
}

export interface ConnectionOptions {
  kubeconfig?: string;
  context?: string;
  env?: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its service account. */
  serviceAccountDir?: string;
}

/** No usable description of a cluster: says which file and which entry. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount";
/** The kubelet renews tokens long before they end; reading for each request would be a waste. */
const tokenAgeMs = 60_000;

export async function loadConnection(options: ConnectionOptions = {}): Promise<Connection> {
  const env = options.env ?? process.env;
  const given = options.kubeconfig ?? env.KUBECONFIG;
  if (given) return fromFiles(given.split(delimiter).filter(Boolean), options.context);
  if (env.KUBERNETES_SERVICE_HOST) return inCluster(env, options.serviceAccountDir ?? serviceAccountDir);
  const usual = join(env.HOME ?? homedir(), ".kube", "config");
  try {
    return await fromFiles([usual], options.context);
  } catch (error) {
    if ((error as { cause?: { code?: string } }).cause?.code !== "ENOENT") throw error;
    throw new KubeconfigError(
      `no Kubernetes cluster is described: there is no ${usual}, KUBECONFIG is not set, and this is no pod. Name a kubeconfig.`,
    );
  }
}

/** The first file that has an entry decides, as for kubectl; paths inside are relative to their file. */
async function fromFiles(files: readonly string[], wanted: string | undefined): Promise<Connection> {
  const read = await Promise.all(files.map(readKubeconfig));
  const name = wanted ?? read.map(({ config }) => config["current-context"]).find(Boolean);
  if (!name) throw new KubeconfigError(`${files.join(", ")} has no current-context; name a context`);
  const context = find(read, ({ contexts }) => contexts, name, "context").entry.context;
  const cluster = find(read, ({ clusters }) => clusters, context.cluster, "cluster");
  const user = context.user ? find(read, ({ users }) => users, context.user, "user") : undefined;
  const base = {
    server: serverUrl(cluster.entry.cluster.server, cluster.file),
    namespace: context.namespace || "default",
    tls: await tlsOf(cluster.entry.cluster, cluster.file),
  };
  if (!user) return { ...base, headers: {}, credentials: async () => ({}), forget() {} };
  const account = user.entry.user;
  return {
    ...base,
    headers: impersonation(account),
    ...(await credentialsOf(account, user.file, user.entry.name, cluster.entry.cluster)),
  };
}

type Kubeconfig = z.infer<typeof kubeconfigSchema>;
type Read = { file: string; config: Kubeconfig };

async function readKubeconfig(file: string): Promise<Read> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new KubeconfigError(`cannot read the kubeconfig ${file}: ${(cause as Error).message}`, { cause });
  }
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new KubeconfigError(`the kubeconfig ${file} is no YAML: ${(cause as Error).message}`, { cause });
  }
  const result = kubeconfigSchema.safeParse(document ?? {});
  if (result.success) return { file, config: result.data };
  const [issue] = result.error.issues;
  throw new KubeconfigError(
    `the kubeconfig ${file} is wrong at ${issue?.path.join(".") || "its root"}: ${issue?.message}`,
  );
}

function find<E extends { name: string }>(
  read: readonly Read[],
  list: (config: Kubeconfig) => E[],
  name: string,
  what: string,
) {
  for (const { file, config } of read) {
    const entry = list(config).find((candidate) => candidate.name === name);
    if (entry) return { entry, file };
  }
  const all = read.flatMap(({ config }) => list(config).map((entry) => entry.name));
  throw new KubeconfigError(
    `${read.map(({ file }) => file).join(", ")} has no ${what} "${name}"; there is ${all.join(", ") || "none"}`,
  );
}

function serverUrl(server: string, file: string): URL {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url && (url.protocol === "https:" || url.protocol === "http:")) return url;
  throw new KubeconfigError(`${file}: the server "${server}" is no http(s) address`);
}

async function tlsOf(cluster: z.infer<typeof clusterSchema>, file: string): Promise<Connection["tls"]> {
  if (cluster["proxy-url"]) {
    throw new KubeconfigError(`${file}: proxy-url is not supported; give an address that needs no proxy`);
  }
  const ca = await inlineOrFile(cluster["certificate-authority-data"], cluster["certificate-authority"], file);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cluster["tls-server-name"] ? { servername: cluster["tls-server-name"] } : {}),
    rejectUnauthorized: cluster["insecure-skip-tls-verify"] !== true,
  };
}

async function credentialsOf(
  user: z.infer<typeof userSchema>,
  file: string,
  name: string,
  cluster: z.infer<typeof clusterSchema>,
): Promise<Pick<Connection, "credentials" | "forget">> {
  if (user["auth-provider"]) {
    throw new KubeconfigError(
      `${file}: user "${name}" has an auth-provider, which Kubernetes no longer knows; use an exec plugin or a token`,
    );
  }
  if (user.exec) return execCredentials(user.exec, { file, user: name, cluster });
  const [cert, key] = await Promise.all([
    inlineOrFile(user["client-certificate-data"], user["client-certificate"], file),
    inlineOrFile(user["client-key-data"], user["client-key"], file),
  ]);
  const certificate = cert !== undefined && key !== undefined ? { cert, key } : {};
  if (user.token) return { credentials: async () => ({ ...certificate, token: user.token }), forget() {} };
  if (!user.tokenFile) return { credentials: async () => certificate, forget() {} };
  const token = fileOfToken(resolve(dirname(file), user.tokenFile));
  return { credentials: async () => ({ ...certificate, token: await token.read() }), forget: token.forget };
}

async function inlineOrFile(
  data: string | undefined,
  path: string | undefined,
  file: string,
): Promise<string | undefined> {
  if (data) return Buffer.from(data, "base64").toString("utf8");
  if (!path) return undefined;
  try {
    return await readFile(resolve(dirname(file), path), "utf8");
  } catch (cause) {
    throw new KubeconfigError(`${file} names ${path}, which cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function impersonation(user: z.infer<typeof userSchema>): Connection["headers"] {
  if (!user.as) return {};
  return {
    "impersonate-user": user.as,
    ...(user["as-groups"]?.length ? { "impersonate-group": user["as-groups"] } : {}),
    ...(user["as-uid"] ? { "impersonate-uid": user["as-uid"] } : {}),
  };
}

async function inCluster(env: Readonly<Record<string, string | undefined>>, dir: string): Promise<Connection> {
  const host = env.KUBERNETES_SERVICE_HOST as string;
  const port = env.KUBERNETES_SERVICE_PORT || "443";
  const token = fileOfToken(join(dir, "token"));
  const [ca, namespace] = await Promise.all(
    ["ca.crt", "namespace"].map((name) =>
      readFile(join(dir, name), "utf8").catch((cause: Error) => {
        throw new KubeconfigError(
          `this pod has no usable service account: ${cause.message}. Mount one (automountServiceAccountToken), or set KUBECONFIG.`,
          { cause },
        );
      }),
    ),
  );
  return {
    server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
    namespace: namespace?.trim() || "default",
    tls: { ...(ca === undefined ? {} : { ca }), rejectUnauthorized: true },
    headers: {},
    credentials: async () => ({ token: await token.read() }),
    forget: token.forget,
  };
}

function fileOfToken(path: string) {
  let known: { token: string; until: number } | undefined;
  return {
    async read(): Promise<string> {
      if (known && performance.now() < known.until) return known.token;
      try {
        known = { token: (await readFile(path, "utf8")).trim(), until: performance.now() + tokenAgeMs };
      } catch (cause) {
        throw new KubeconfigError(`cannot read the token ${path}: ${(cause as Error).message}`, { cause });
      }
      return known.token;
    },
    forget: () => {
      known = undefined;
    },
  };
}

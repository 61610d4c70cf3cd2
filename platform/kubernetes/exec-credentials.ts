/**
 * Credentials from a program that the kubeconfig names (client.authentication.k8s.io), as cloud providers want it.
 *
 * Promise: one run at a time however many requests wait; what it gave is used until shortly before it expires, or until
 * the server refuses it.
 */
import { execFile } from "node:child_process";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import type { Connection, Credentials } from "./kubeconfig.ts";
import type { clusterSchema, execSchema } from "./kubeconfig-schema.ts";

const versions: readonly string[] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const timeoutMs = 60_000;
/** A token that ends while its request is on the way is no use. */
const earlyMs = 10_000;

const answerSchema = z.object({
  status: z.object({
    token: z.string().optional(),
    clientCertificateData: z.string().optional(),
    clientKeyData: z.string().optional(),
    expirationTimestamp: z.string().optional(),
  }),
});

export function execCredentials(
  exec: z.infer<typeof execSchema>,
  from: { file: string; user: string; cluster: z.infer<typeof clusterSchema> },
): Pick<Connection, "credentials" | "forget"> {
  let known: { credentials: Credentials; until: number } | undefined;
  let running: Promise<Credentials> | undefined;

  async function ask(): Promise<Credentials> {
    const { status } = parseAnswer(await runPlugin(exec, from), exec.command);
    const until = status.expirationTimestamp
      ? Date.parse(status.expirationTimestamp) - earlyMs
      : Number.POSITIVE_INFINITY;
    const credentials: Credentials = {
      ...(status.token ? { token: status.token } : {}),
      ...(status.clientCertificateData ? { cert: status.clientCertificateData } : {}),
      ...(status.clientKeyData ? { key: status.clientKeyData } : {}),
    };
    known = { credentials, until };
    return credentials;
  }

  return {
    async credentials() {
      if (known && Date.now() < known.until) return known.credentials;
      running ??= ask().finally(() => {
        running = undefined;
      });
      return running;
    },
    forget() {
      known = undefined;
    },
  };
}

function parseAnswer(text: string, command: string) {
  try {
    return answerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`the credential plugin ${command} did not print an ExecCredential with a status`, { cause });
  }
}

async function runPlugin(
  exec: z.infer<typeof execSchema>,
  { file, user, cluster }: { file: string; user: string; cluster: z.infer<typeof clusterSchema> },
): Promise<string> {
  if (!versions.includes(exec.apiVersion)) {
    throw new Error(`${file}: user "${user}" wants ${exec.apiVersion}; supported is ${versions.join(" or ")}`);
  }
  const info = {
    apiVersion: exec.apiVersion,
    kind: "ExecCredential",
    spec: {
      interactive: false,
      ...(exec.provideClusterInfo
        ? { cluster: { server: cluster.server, "certificate-authority-data": cluster["certificate-authority-data"] } }
        : {}),
    },
  };
  const env = { ...process.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
  for (const { name, value } of exec.env ?? []) Object.assign(env, { [name]: value });
  // A relative path with a slash is meant from the kubeconfig; a plain word is looked up in PATH.
  const command = exec.command.includes("/") ? resolve(dirname(file), exec.command) : exec.command;
  return new Promise((settle, reject) => {
    execFile(command, exec.args ?? [], { env, timeout: timeoutMs, maxBuffer: 1 << 20 }, (error, stdout, stderr) => {
      if (!error) return settle(stdout);
      const why = (stderr.trim().slice(-500) || error.message).trim();
      const next = exec.installHint ? ` ${exec.installHint.trim()}` : "";
      reject(new Error(`the credential plugin ${command} of user "${user}" failed: ${why}.${next}`, { cause: error }));
    });
  });
}

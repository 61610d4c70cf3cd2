/**
 * Secrets on their way into a pod: in an object of their own, which the pod refers to. No value is ever part of a pod, a
 * TaskAction, an event or a log.
 */

import { type Secret, Secret_MountType } from "@flyte-ts/contract/flyteidl2/core/security_pb.ts";
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { SecretRef } from "../../secrets/index.ts";
import { BadSpecError } from "./bad-spec.ts";
import type { Container, EnvVar, SecretObject, Volume } from "./objects.ts";

/** The one folder that the SDK allows. */
const FOLDER = "/etc/flyte/secrets";
const VOLUME = "flyte-secrets";

export function secretsOf(template: TaskTemplate | undefined): readonly Secret[] {
  return template?.securityContext?.secrets ?? [];
}

export function refsOf(secrets: readonly Secret[]): SecretRef[] {
  return secrets.map(({ group, key, groupVersion }) => ({ group, key, version: groupVersion }));
}

export interface SecretParts {
  env: EnvVar[];
  /** Of these the server's own. */
  serverEnv: EnvVar[];
  volumes: Volume[];
  mounts: NonNullable<Container["volumeMounts"]>;
  /** Undefined when nothing is secret. */
  data: SecretObject["data"] | undefined;
}

/**
 * `values` in the order of `secrets`; `environment` holds variables of the server that are secret themselves. Throws
 * {@link BadSpecError} that names a secret without a value.
 */
export function secretParts(
  objectName: string,
  secrets: readonly Secret[],
  values: readonly (Uint8Array | undefined)[],
  environment: Readonly<Record<string, string>>,
): SecretParts {
  const parts: SecretParts = { env: [], serverEnv: [], volumes: [], mounts: [], data: undefined };
  const data: Record<string, string> = {};
  const items: { key: string; path: string }[] = [];
  const variable = (name: string, key: string): EnvVar => ({
    name,
    valueFrom: { secretKeyRef: { name: objectName, key } },
  });

  for (const [index, secret] of secrets.entries()) {
    const value = values[index];
    if (value === undefined) throw missing(secret);
    const key = `secret-${index}`;
    data[key] = Buffer.from(value).toString("base64");
    if (secret.mountRequirement === Secret_MountType.FILE) {
      const path = fileOf(secret);
      items.push({ key, path });
      // Readers of grouped secrets look for the key in small letters.
      const small = path.slice(0, path.length - secret.key.length) + secret.key.toLowerCase();
      if (small !== path) items.push({ key, path: small });
      if (secret.envVar !== "") parts.env.push({ name: secret.envVar, value: `${FOLDER}/${path}` });
    } else parts.env.push(variable(secret.envVar || defaultVariable(secret), key));
  }
  for (const [index, [name, value]] of Object.entries(environment).entries()) {
    const key = `environment-${index}`;
    data[key] = Buffer.from(value).toString("base64");
    parts.serverEnv.push(variable(name, key));
  }
  parts.env.push(...parts.serverEnv);
  if (items.length > 0) {
    // 0444: the pod's user is not known here, and the folder is the pod's own.
    parts.volumes.push({ name: VOLUME, secret: { secretName: objectName, items, defaultMode: 0o444 } });
    parts.mounts.push({ name: VOLUME, mountPath: FOLDER, readOnly: true });
  }
  if (Object.keys(data).length > 0) parts.data = data;
  return parts;
}

function missing({ group, key }: Secret): BadSpecError {
  const name = group === "" ? `\`${key}\`` : `\`${key}\` of group \`${group}\``;
  return new BadSpecError(
    `the task asks for the secret ${name}, which does not exist for its project and domain: create it, or take it out of the task`,
    "SecretNotFound",
  );
}

function defaultVariable({ group, key }: Secret): string {
  return (group === "" ? key : `${group}_${key}`).replaceAll("-", "_").toUpperCase();
}

/** `group/key` below the folder; neither may lead out of it. */
function fileOf({ group, key }: Secret): string {
  for (const part of [group, key]) {
    if (part === "." || part === ".." || part.includes("/")) {
      throw new BadSpecError(`\`${part}\` cannot be the name of a secret's file: mount it as a variable`);
    }
  }
  return group === "" ? key : `${group}/${key}`;
}

/** What `flyte-ts up` says to a person: where the server is, what to type next, or why there is none. */
import { dirname, join, relative } from "node:path";
import { type Config, ConfigError } from "@flyte-ts/platform/config";
import { KubeconfigError, KubernetesError } from "@flyte-ts/platform/kubernetes";
import {
  DatabaseUnavailableError,
  EmbeddedPostgresError,
  MigrationMismatchError,
  NewerSchemaError,
  redact,
  UnsupportedServerError,
} from "@flyte-ts/platform/postgres";
import type { AllInOne, Server } from "./all-in-one.ts";
import { DataDirHeldError } from "./data-dir.ts";
import type { ExecutorServer } from "./executor.ts";
import type { ExecutorConfig } from "./executor-config.ts";
import { PythonMissingError } from "./python.ts";

export function readyScreen({ url, python }: AllInOne, config: Config, cwd: string): string {
  const { host } = new URL(url);
  // The SDK's command that is sure to fit the tasks' Python, as short as it can be typed from here.
  const beside = join(dirname(python), "flyte");
  const near = relative(cwd, beside);
  const flyte = near.startsWith("..") ? beside : near;
  const database = config.databaseUrl ? redact(config.databaseUrl) : `PostgreSQL in ${config.dataDir}`;
  const objects = config.objectStore.url ?? `files in ${config.dataDir}`;
  return `
Flyte is ready at ${url}

  database  ${database}
  objects   ${objects}
  tasks     processes of this machine, ${config.embedded.slots} at once

Run a Python workflow:

  ${flyte} --endpoint ${host} --insecure run --project ${config.projects[0]} --domain ${config.domains[0]} --follow hello.py main

`;
}

export function controlPlaneScreen({ url }: Server, config: Config): string {
  return `
The control plane is ready at ${url}

  database  ${redact(config.databaseUrl ?? "")}
  objects   ${config.objectStore.url}

Run actions on a Kubernetes cluster, from anywhere that reaches both:

  flyte-ts executor --cluster NAME --control-plane ${url}

`;
}

export function executorScreen({ health }: ExecutorServer, config: ExecutorConfig): string {
  return `
The executor of cluster ${config.cluster} runs

  control plane  ${config.controlPlane}
  health         ${health}/readyz

What the control plane knows of it:

  flyte-ts cluster show ${config.cluster} --endpoint ${config.controlPlane}

`;
}

const known = [
  ConfigError,
  DataDirHeldError,
  KubeconfigError,
  KubernetesError,
  PythonMissingError,
  EmbeddedPostgresError,
  MigrationMismatchError,
  NewerSchemaError,
  UnsupportedServerError,
];

/** The cause of a failed start in one line with the next step. */
export function startupCause(error: unknown): { text: string; known: boolean } {
  if (known.some((type) => error instanceof type)) return { text: oneLine(error), known: true };
  if (error instanceof DatabaseUnavailableError) {
    return {
      text: `the database cannot be used: ${error.reason}; check --database-url and that the server runs`,
      known: true,
    };
  }
  const { code, port, address, path } = (error ?? {}) as NodeJS.ErrnoException & { port?: number; address?: string };
  switch (code) {
    case "EADDRINUSE":
      return {
        text: `port ${port} of ${address} is taken; stop what listens there, or choose another with --port`,
        known: true,
      };
    case "EADDRNOTAVAIL":
      return { text: `this machine has no address ${address}; choose another with --host`, known: true };
    case "EACCES":
    case "EPERM":
      return { text: `no permission for ${path ?? `port ${port}`}; choose another --data-dir or --port`, known: true };
    case "ENOSPC":
      return { text: `the disk is full${path ? ` at ${path}` : ""}; make room and start again`, known: true };
    case "28P01":
    case "28000":
      return {
        text: `the database refuses the login: ${oneLine(error)}; correct the user and password in --database-url`,
        known: true,
      };
    case "3D000":
      return { text: `${oneLine(error)}; create it, or correct --database-url`, known: true };
    default:
      return { text: oneLine(error), known: false };
  }
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, " ");
}

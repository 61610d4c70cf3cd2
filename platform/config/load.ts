/**
 * Reads the configuration: file, then environment, then flags, each stronger than the one before.
 *
 *     const config = loadConfig({ argvFlags: { port: 9000 }, env: process.env, cwd: process.cwd() });
 *
 * Promise: the result is complete and valid, or the error says in one message every thing that is wrong, where it was
 * written, and what was probably meant. Without authentication it never listens beyond this machine unless told to.
 */
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { parse } from "yaml";
import type { z } from "zod";
import { envName, type KeyKind, keysOf, nearest } from "./keys.ts";
import { type Config, configSchema } from "./schema.ts";

/** The configuration is wrong; the message is for the person who wrote it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export interface ConfigSources {
  /** By key (`port`, `logs.level`); `config` names the file. Undefined values count as not given. */
  argvFlags: Readonly<Record<string, unknown>>;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** Read from `cwd` when no other file is named; `flyte-ts.yaml`. */
  fileName?: string;
}

export const configFileName = "flyte-ts.yaml";

/** Variables that others have named, and the keys they stand for. */
const borrowed: Record<string, string> = {
  DATABASE_URL: "databaseUrl",
  OTEL_EXPORTER_OTLP_ENDPOINT: "telemetry.otlpEndpoint",
};

/** Not keys of a server: where its file is, and what the command line itself reads. */
const others = new Set(["FLYTE_TS_CONFIG", "FLYTE_TS_ENDPOINT"]);

/** The configuration of a server. */
export function loadConfig(sources: ConfigSources): Config {
  const config = readConfig(configSchema(defaultDataDir(sources.env)), sources);
  return checked({ ...config, dataDir: resolve(sources.cwd, untilde(config.dataDir)) });
}

/** Reads what `schema` describes. Another kind of server has another schema. */
export function readConfig<Schema extends z.ZodObject>(
  schema: Schema,
  { argvFlags, env, cwd, fileName = configFileName }: ConfigSources,
): z.infer<Schema> {
  const keys = keysOf(schema);
  const problems: string[] = [];
  const { config: configFlag, ...flags } = argvFlags;
  const origins = new Map<string, string>();
  const values: Tree = {};
  const put = (key: string, value: unknown, origin: string) => {
    origins.set(key, origin);
    setAt(values, key, value);
  };

  const file = readFile(configFlag ?? env.FLYTE_TS_CONFIG, fileName, cwd);
  for (const [key, value] of flatten(file.values, keys)) {
    if (keys.has(key)) put(key, value, file.path);
    else problems.push(unknownKey(key, file.path, keys.keys()));
  }
  for (const [name, key] of Object.entries(borrowed)) if (env[name] && keys.has(key)) put(key, env[name], name);
  const byEnvName = new Map([...keys.keys()].map((key) => [envName(key), key]));
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith("FLYTE_TS_") || others.has(name) || text === undefined || text === "") continue;
    const key = byEnvName.get(name);
    if (key === undefined) problems.push(unknownKey(name, "the environment", byEnvName.keys()));
    else put(key, fromText(text, keys.get(key)), name);
  }
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    if (!keys.has(key)) problems.push(unknownKey(key, "the command line", keys.keys()));
    else put(key, typeof value === "string" ? fromText(value, keys.get(key)) : value, `flag ${key}`);
  }

  const parsed = schema.safeParse(values);
  if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => describe(issue, origins)));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems.join("\n"));
  return parsed.data;
}

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

function checked(config: Config): Config {
  if (!isLoopback(config.host) && !config.open) {
    throw new ConfigError(
      `host ${config.host} can be reached from other machines, and this server has no authentication yet: whoever ` +
        "reaches it can run any code here. Listen on 127.0.0.1, or say --open if the network itself keeps others out",
    );
  }
  const { accessKeyId, secretAccessKey } = config.objectStore;
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw new ConfigError(
      "objectStore.accessKeyId and objectStore.secretAccessKey belong together; give both or neither",
    );
  }
  const { leaseSeconds, heartbeatSeconds } = config.clusters;
  if (heartbeatSeconds * 3 > leaseSeconds) {
    throw new ConfigError(
      `clusters.heartbeatSeconds (${heartbeatSeconds}) must be at most a third of clusters.leaseSeconds (${leaseSeconds}): ` +
        "a cluster whose heartbeat was late once or twice must not lose its work",
    );
  }
  return config;
}

interface Tree {
  [name: string]: unknown;
}

function readFile(named: unknown, fileName: string, cwd: string): { path: string; values: Tree } {
  const path = resolve(cwd, typeof named === "string" ? named : fileName);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    // only a file that was asked for must exist
    if (named === undefined && (cause as NodeJS.ErrnoException).code === "ENOENT") return { path, values: {} };
    throw new ConfigError(`the configuration file ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  try {
    const values: unknown = parse(text) ?? {};
    if (typeof values === "object" && !Array.isArray(values)) return { path, values: values as Tree };
  } catch (cause) {
    throw new ConfigError(`${path} is not valid YAML: ${(cause as Error).message}`, { cause });
  }
  throw new ConfigError(`${path} must hold keys and values, such as "port: 8642"`);
}

/** Leaves of the file as dotted keys; a subtree that should be a value stays one, for the schema to refuse. */
function* flatten(tree: Tree, keys: ReadonlyMap<string, KeyKind>, prefix = ""): Iterable<[string, unknown]> {
  for (const [name, value] of Object.entries(tree)) {
    const key = prefix + name;
    const isTree = typeof value === "object" && value !== null && !Array.isArray(value);
    const hasInner = [...keys.keys()].some((known) => known.startsWith(`${key}.`));
    if (isTree && !keys.has(key)) yield* flatten(value as Tree, keys, `${key}.`);
    else if (value !== null || !hasInner) yield [key, value];
  }
}

function setAt(tree: Tree, key: string, value: unknown): void {
  const [head = "", ...rest] = key.split(".");
  if (rest.length === 0) {
    tree[head] = value;
    return;
  }
  tree[head] ??= {};
  setAt(tree[head] as Tree, rest.join("."), value);
}

/** Text from the environment or the command line in the key's kind; what does not fit stays text and is refused. */
function fromText(text: string, kind: KeyKind | undefined): unknown {
  if (kind === "number" && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (kind === "boolean" && /^(true|1|yes)$/i.test(text)) return true;
  if (kind === "boolean" && /^(false|0|no)$/i.test(text)) return false;
  if (kind === "list") return text.split(",").map((item) => item.trim());
  return text;
}

function unknownKey(key: string, origin: string, known: Iterable<string>): string {
  const meant = nearest(key, known);
  return `unknown key ${key} in ${origin}${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}

function describe(issue: z.core.$ZodIssue, origins: ReadonlyMap<string, string>): string {
  const path = issue.path.map(String);
  let origin: string | undefined;
  for (let length = path.length; length > 0 && origin === undefined; length--) {
    origin = origins.get(path.slice(0, length).join("."));
  }
  return `${path.join(".")}: ${issue.message}${origin === undefined ? "" : ` (from ${origin})`}`;
}

function defaultDataDir(env: ConfigSources["env"]): string {
  const base = env.XDG_DATA_HOME;
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), ".local", "share"), "flyte-ts");
}

function untilde(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

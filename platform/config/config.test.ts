import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConfigError, type ConfigSources, loadConfig, redacted } from "./index.ts";

function load(sources: Partial<ConfigSources> = {}) {
  return loadConfig({ argvFlags: {}, env: {}, cwd: "/nonexistent", ...sources });
}

function folderWith(t: TestContext, yaml: string, name = "flyte-ts.yaml"): string {
  const folder = mkdtempSync(join(tmpdir(), "flyte-ts-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, name), yaml);
  return folder;
}

function refusal(sources: Partial<ConfigSources>): string {
  try {
    load(sources);
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown.message;
  }
  assert.fail("the configuration should have been refused");
}

test("told nothing, everything has its default", () => {
  assert.deepEqual(load(), {
    host: "127.0.0.1",
    port: 8642,
    open: false,
    dataDir: join(homedir(), ".local/share/flyte-ts"),
    objectStore: {},
    projects: ["flytesnacks"],
    domains: ["development", "staging", "production"],
    logs: { level: "info", format: "json" },
    limits: { requestBytes: 33554432, pageSize: 200 },
    embedded: { slots: Math.max(8, 4 * availableParallelism()), cluster: "embedded" },
    clusters: { leaseSeconds: 60, heartbeatSeconds: 10 },
    retries: { systemFailures: 3 },
    telemetry: {},
    drainSeconds: 20,
  });
  assert.equal(load({ env: { XDG_DATA_HOME: "/data" } }).dataDir, "/data/flyte-ts");
  assert.equal(load({ env: { XDG_DATA_HOME: "relative" } }).dataDir, join(homedir(), ".local/share/flyte-ts"));
});

test("flags win over the environment, the environment over the file", (t) => {
  const cwd = folderWith(
    t,
    "port: 1\nlogs:\n  level: debug\n  format: pretty\nlimits: {pageSize: 5}\nembedded:\nprojects: [a, b]\n",
  );
  const env = { FLYTE_TS_PORT: "2", FLYTE_TS_LOGS_LEVEL: "warn", DATABASE_URL: "postgres://h/one" };
  const config = load({ cwd, env, argvFlags: { port: 3, host: undefined, dataDir: "here" } });
  assert.equal(config.port, 3);
  assert.deepEqual(config.logs, { level: "warn", format: "pretty" });
  assert.equal(config.limits.pageSize, 5);
  assert.equal(config.limits.requestBytes, 33554432);
  assert.deepEqual(config.projects, ["a", "b"]);
  assert.equal(config.databaseUrl, "postgres://h/one");
  assert.equal(config.dataDir, join(cwd, "here"));
  const both = { ...env, FLYTE_TS_DATABASE_URL: "postgres://h/two" };
  assert.equal(load({ cwd, env: both }).databaseUrl, "postgres://h/two");
});

test("text becomes the kind of its key", () => {
  const env = {
    FLYTE_TS_OPEN: "true",
    FLYTE_TS_HOST: "0.0.0.0",
    FLYTE_TS_DOMAINS: "dev, prod",
    FLYTE_TS_OBJECT_STORE_ACCESS_KEY_ID: "12345",
    FLYTE_TS_OBJECT_STORE_SECRET_ACCESS_KEY: "s",
    FLYTE_TS_DRAIN_SECONDS: "0.5",
    FLYTE_TS_PYTHON: "",
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318",
  };
  const config = load({ env, argvFlags: { "logs.level": "error", port: "9000", open: "yes" } });
  assert.equal(config.open, true);
  assert.deepEqual(config.domains, ["dev", "prod"]);
  assert.equal(config.objectStore.accessKeyId, "12345");
  assert.equal(config.drainSeconds, 0.5);
  assert.equal(config.python, undefined);
  assert.equal(config.telemetry.otlpEndpoint, "http://localhost:4318");
  assert.equal(config.logs.level, "error");
  assert.equal(config.port, 9000);
});

test("a file can be named by flag or environment, and then must exist", (t) => {
  const cwd = folderWith(t, "port: 7", "other.yaml");
  assert.equal(load({ cwd, argvFlags: { config: "other.yaml" } }).port, 7);
  assert.equal(load({ cwd, env: { FLYTE_TS_CONFIG: join(cwd, "other.yaml") } }).port, 7);
  assert.match(refusal({ cwd, argvFlags: { config: "none.yaml" } }), /none\.yaml cannot be read/);
});

test("an unknown key is refused with the nearest known one, wherever it stands", (t) => {
  const cwd = folderWith(t, "prot: 1\nlogs:\n  levle: info\nretries: {systemFailures: 1, zzzzzzzzzzzzzzzzzz: 1}\n");
  const message = refusal({ cwd, env: { FLYTE_TS_HOTS: "x" }, argvFlags: { data_dir: "x" } });
  assert.match(message, /unknown key prot in .*flyte-ts\.yaml; did you mean port\?/);
  assert.match(message, /unknown key logs\.levle in .*did you mean logs\.level\?/);
  assert.match(message, /unknown key FLYTE_TS_HOTS in the environment; did you mean FLYTE_TS_HOST\?/);
  assert.match(message, /unknown key data_dir in the command line; did you mean dataDir\?/);
  assert.match(message, /retries\.zzz/);
});

test("values that do not fit are all named, with where they come from", (t) => {
  const cwd = folderWith(t, "port: many\nprojects: [Bad_Name]\nlogs: loud\nobjectStore: {url: gs://b}\n");
  const message = refusal({
    cwd,
    env: { FLYTE_TS_LIMITS_PAGE_SIZE: "0", DATABASE_URL: "mysql://h/db" },
    argvFlags: { drainSeconds: "soon" },
  });
  for (const pattern of [
    /^port: .*flyte-ts\.yaml/m,
    /^projects\.0: .*lower-case.*flyte-ts\.yaml/m,
    /^objectStore\.url: must be s3:/m,
    /^limits\.pageSize: .*FLYTE_TS_LIMITS_PAGE_SIZE/m,
    /^databaseUrl: must be a URL that begins with postgres.*DATABASE_URL/m,
    /^drainSeconds: .*flag drainSeconds/m,
    /unknown key logs /,
  ]) {
    assert.match(message, pattern);
  }
});

test("a file that is no YAML, or no keys", (t) => {
  assert.match(refusal({ cwd: folderWith(t, "a: [") }), /is not valid YAML/);
  assert.match(refusal({ cwd: folderWith(t, "- a\n") }), /must hold keys and values/);
  assert.equal(load({ cwd: folderWith(t, "# nothing\n") }).port, 8642);
});

test("beyond loopback only when told to, and the refusal says why", () => {
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.evil.example"]) {
    const message = refusal({ argvFlags: { host } });
    assert.match(message, /no authentication/);
    assert.match(message, /--open/);
    assert.equal(load({ argvFlags: { host, open: true } }).host, host);
  }
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    assert.equal(load({ argvFlags: { host } }).host, host);
});

test("half a key pair is refused", () => {
  assert.match(refusal({ env: { FLYTE_TS_OBJECT_STORE_ACCESS_KEY_ID: "a" } }), /belong together/);
});

test("printed, it keeps its secrets", () => {
  const config = load({
    env: {
      DATABASE_URL: "postgres://me:hush@h:5432/db?sslmode=require&password=hush",
      FLYTE_TS_OBJECT_STORE_URL: "s3://bucket/prefix",
      FLYTE_TS_OBJECT_STORE_ENDPOINT: "https://u:hush@s3.example/",
      FLYTE_TS_OBJECT_STORE_ACCESS_KEY_ID: "hush",
      FLYTE_TS_OBJECT_STORE_SECRET_ACCESS_KEY: "hush",
      OTEL_EXPORTER_OTLP_ENDPOINT: "https://c.example/?api-key=hush",
    },
  });
  const printed = JSON.stringify(redacted(config));
  assert.doesNotMatch(printed, /hush/);
  assert.match(printed, /postgres:\/\/me:redacted@h:5432\/db\?sslmode=require/);
  assert.match(printed, /s3:\/\/bucket\/prefix/);
  assert.match(JSON.stringify(config), /hush/, "the original is not touched");
});

test("heartbeats that may not be late once are refused", () => {
  const env = { FLYTE_TS_CLUSTERS_LEASE_SECONDS: "20" };
  assert.match(refusal({ env }), /clusters\.heartbeatSeconds \(10\) must be at most a third of .*leaseSeconds \(20\)/);
  const { clusters } = load({ env: { ...env, FLYTE_TS_CLUSTERS_HEARTBEAT_SECONDS: "0.5" } });
  assert.deepEqual(clusters, { leaseSeconds: 20, heartbeatSeconds: 0.5 });
});

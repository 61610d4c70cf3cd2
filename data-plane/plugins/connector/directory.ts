/**
 * Which connector serves what. Asks each one for its task types, again and again: types come and go with its releases.
 *
 * Promise: a connector that cannot be asked keeps the types it told last. The most special connector for an action goes
 * first: of its project and domain, of its project, of its domain, then those for everyone.
 */
import type { TaskCategory } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { type LearnedTaskTypes, type Log, pause } from "../../executor/index.ts";
import { type Calls, calls } from "./calls.ts";
import { type ConnectorClient, connectorClient } from "./client.ts";
import type { ConnectorConfig } from "./config.ts";
import type { Outcome } from "./outcome.ts";
import { refusalOf } from "./refusal.ts";

export interface Connector {
  readonly config: ConnectorConfig;
  readonly client: ConnectorClient;
  readonly calls: Calls<Outcome>;
}

export type Category = Pick<TaskCategory, "name" | "version">;

export interface Scope {
  project: string;
  domain: string;
}

export type Route =
  | { kind: "connector"; connector: Connector }
  /** It may be one that has not told yet. */
  | { kind: "unknown"; message: string }
  | { kind: "none"; message: string };

export interface Directory extends LearnedTaskTypes {
  readonly taskTypes: readonly string[];
  readonly connectors: readonly Connector[];
  route(category: Category, scope: Scope): Route;
  /** The connector at an endpoint, as long as it is configured. */
  at(endpoint: string, scope: Scope): Connector | undefined;
  /** Asks now; undefined when it cannot be asked. */
  serves(connector: Connector, category: Category): Promise<boolean | undefined>;
  run(signal: AbortSignal): Promise<void>;
}

interface Listed extends Connector {
  /** Versions by type; undefined until the connector has told. */
  listed?: ReadonlyMap<string, ReadonlySet<number>>;
}

export function directory(configs: readonly ConnectorConfig[], log: Log): Directory {
  const connectors: Listed[] = distinct(configs).map((config) => ({
    config,
    client: connectorClient(config),
    calls: calls<Outcome>({ ...config, perSecond: config.callsPerSecond }),
  }));
  const listeners: (() => void)[] = [];
  const known = () => connectors.every(({ listed, config }) => listed !== undefined || config.taskTypes.length > 0);
  const types = () =>
    [...new Set(connectors.flatMap(({ listed, config }) => [...config.taskTypes, ...(listed?.keys() ?? [])]))].sort();

  async function ask(connector: Listed, signal?: AbortSignal): Promise<void> {
    const before = [types().join(), known()].join();
    const { endpoint } = connector.config;
    try {
      connector.listed = byType(await connector.client.list(signal));
    } catch (error) {
      const refusal = refusalOf(error);
      // Services older than the list exist; what they serve is configured.
      if (refusal.kind !== "refused" || refusal.code !== "Unimplemented") throw error;
      connector.listed = new Map();
    }
    if ([types().join(), known()].join() === before) return;
    log.info({ endpoint, taskTypes: [...connector.listed.keys()] }, "a connector told its task types");
    for (const changed of listeners) changed();
  }

  async function follow(connector: Listed, signal: AbortSignal): Promise<void> {
    const { endpoint, refreshMs, awayFirstMs, awayMaxMs } = connector.config;
    for (let failures = 0; !signal.aborted; ) {
      try {
        await ask(connector, signal);
        if (failures > 0) log.info({ endpoint }, "a connector answers again");
        failures = 0;
        await pause(refreshMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (failures === 0) log.warn({ endpoint, err: error }, "a connector cannot be asked for its task types");
        await pause(Math.min(awayFirstMs * 2 ** failures, awayMaxMs), signal);
        failures += 1;
      }
    }
  }

  const inScope = ({ project, domain }: Scope) =>
    connectors
      .filter(({ config }) => (config.project ?? project) === project && (config.domain ?? domain) === domain)
      .sort((a, b) => rank(b.config) - rank(a.config));

  return {
    connectors,
    get taskTypes() {
      return types();
    },
    get known() {
      return known();
    },
    onChange: (changed) => void listeners.push(changed),
    route(category, scope) {
      const candidates = inScope(scope);
      const connector = candidates.find((one) => serves(one, category));
      if (connector) return { kind: "connector", connector };
      const silent = candidates.filter(({ listed }) => listed === undefined).map(({ config }) => config.endpoint);
      if (silent.length > 0) {
        const message = `no connector is known for ${wordsOf(category)} yet: ${silent.join(", ")} cannot be asked`;
        return { kind: "unknown", message };
      }
      return { kind: "none", message: nobody(category, scope, candidates, connectors) };
    },
    at: (endpoint, scope) => inScope(scope).find(({ config }) => config.endpoint === endpoint),
    async serves(connector, category) {
      try {
        await ask(connector as Listed);
      } catch {
        return undefined;
      }
      return serves(connector, category);
    },
    async run(signal) {
      try {
        await Promise.all(connectors.map((connector) => follow(connector, signal)));
      } finally {
        // A call that makes a resource gets the time to note it.
        await Promise.all(connectors.map((connector) => connector.calls.drain()));
        for (const { client } of connectors) client.close();
      }
    },
  };
}

function distinct(configs: readonly ConnectorConfig[]): readonly ConnectorConfig[] {
  const seen = new Set<string>();
  for (const { endpoint, project = "", domain = "" } of configs) {
    const key = [endpoint, project, domain].join(" ");
    if (seen.has(key)) throw new Error(`the connector ${endpoint} is configured twice for the same actions: keep one`);
    seen.add(key);
  }
  return configs;
}

function byType(categories: readonly TaskCategory[]): Map<string, Set<number>> {
  const map = new Map<string, Set<number>>();
  for (const { name, version } of categories) map.set(name, (map.get(name) ?? new Set()).add(version));
  return map;
}

function serves({ config, listed }: Listed, { name, version }: Category): boolean {
  return config.taskTypes.includes(name) || listed?.get(name)?.has(version) === true;
}

function rank({ project, domain }: ConnectorConfig): number {
  return (project === undefined ? 0 : 2) + (domain === undefined ? 0 : 1);
}

function wordsOf({ name, version }: Category): string {
  return `tasks of type "${name}" in version ${version}`;
}

function nobody(category: Category, scope: Scope, candidates: readonly Listed[], all: readonly Listed[]): string {
  const versions = [...new Set(candidates.flatMap(({ listed }) => [...(listed?.get(category.name) ?? [])]))].sort();
  const elsewhere = all.some((one) => serves(one, category));
  const hint = elsewhere
    ? `connectors that do are not for project ${scope.project}, domain ${scope.domain}`
    : versions.length > 0
      ? `they serve it in version ${versions.join(", ")}`
      : "deploy one that does";
  return `no connector serves ${wordsOf(category)}: ${hint}`;
}

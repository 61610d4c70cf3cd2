/**
 * `SettingsService`: what administrators set for everything, a domain or a project. Writers hold the version they read;
 * one that is not current is refused, so nobody overwrites what they have not seen.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Settings,
  type SettingsKey,
  SettingsKeySchema,
  SettingsSchema,
} from "@flyte-ts/contract/flyteidl2/settings/settings_definition_pb.ts";
import {
  type SettingsRecord,
  SettingsRecordSchema,
  type SettingsService,
} from "@flyte-ts/contract/flyteidl2/settings/settings_service_pb.ts";
import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { resolveSettings, type SettingsScope, settingsLevels, settingsScope } from "./settings.ts";
import { insertSettings, readSettings, updateSettings } from "./store.ts";

export interface SettingsServiceDependencies {
  database: Database;
}

interface Level {
  scope: SettingsScope;
  settings: Settings;
  /** 0 where nothing is stored. */
  version: bigint;
}

export function settingsService({ database }: SettingsServiceDependencies): ServiceImpl<typeof SettingsService> {
  /** All levels of a scope, the widest first, in one statement so that they belong together. */
  async function readLevels(scope: SettingsScope): Promise<Level[]> {
    const levels = settingsLevels(scope);
    const stored = await readSettings(database, levels);
    return levels.map((level) => {
      const row = stored.find(({ domain, project }) => domain === level.domain && project === level.project);
      return {
        scope: level,
        settings: row ? fromBinary(SettingsSchema, row.settings) : create(SettingsSchema),
        version: row?.version ?? 0n,
      };
    });
  }

  return {
    /** What is in force at the scope, over all its levels; the version is that of the scope itself. */
    async getSettings({ key }) {
      const levels = await readLevels(settingsScope(key));
      return { settingsRecord: record(key, resolveSettings(levels), levels.at(-1)?.version ?? 0n) };
    },

    async getSettingsForEdit({ key }) {
      const levels = await readLevels(settingsScope(key));
      return {
        requestedKey: key,
        levels: levels.map(({ scope, settings, version }) =>
          record(create(SettingsKeySchema, { org: key?.org ?? "", ...scope }), settings, version),
        ),
      };
    },

    async createSettings({ key, settings }) {
      const scope = settingsScope(key);
      const received = required(settings);
      const version = await insertSettings(database, scope, toBinary(SettingsSchema, received));
      if (version === undefined) {
        throw alreadyExists(`${describe(scope)} exist already; read them and update that version`);
      }
      return { settingsRecord: record(key, received, version) };
    },

    async updateSettings({ key, settings, version }) {
      const scope = settingsScope(key);
      const received = required(settings);
      if (version === 0n) throw invalidArgument("an update needs the version it is based on; read the settings first");
      const next = await updateSettings(database, scope, toBinary(SettingsSchema, received), version);
      if (next !== undefined) return { settingsRecord: record(key, received, next) };
      const [current] = await readSettings(database, [scope]);
      if (!current) throw notFound(`${describe(scope)} not found; create them`);
      throw failedPrecondition(
        `${describe(scope)} are at version ${current.version}, not ${version}: somebody changed them; read them again and repeat your change`,
      );
    },
  };
}

function required(settings: Settings | undefined): Settings {
  if (!settings) throw invalidArgument("the request has no settings; send empty ones to inherit everything");
  return settings;
}

function record(key: SettingsKey | undefined, settings: Settings, version: bigint): SettingsRecord {
  return create(SettingsRecordSchema, { key, settings, version });
}

function describe({ domain, project }: SettingsScope): string {
  if (project !== "") return `settings of ${project}/${domain}`;
  return domain !== "" ? `settings of domain ${domain}` : "settings of the organization";
}

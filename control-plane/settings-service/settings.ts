/**
 * Settings at three levels: everything (org), a domain, a project in a domain. The narrower level wins leaf by leaf; maps
 * are merged entry by entry. A leaf says whether it inherits, has a value, or is unset, which ends what it would inherit.
 *
 * The leaves are found in the message's description, not listed here, so settings added to the contract resolve too.
 */

import { clone, create, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  ScopeLevel,
  ScopeLevelSchema,
  SettingState,
  SettingStateSchema,
  type Settings,
  type SettingsKey,
  SettingsSchema,
} from "@flyte-ts/contract/flyteidl2/settings/settings_definition_pb.ts";
import { invalidArgument } from "@flyte-ts/core";

/** Where settings are kept. Both empty: for everything. */
export interface SettingsScope {
  domain: string;
  project: string;
}

/** The organization is no part of a key here. */
export function settingsScope(key: SettingsKey | undefined): SettingsScope {
  if (!key) throw invalidArgument("the request has no key; name a domain and a project, or leave both empty");
  const { domain, project } = key;
  if (project !== "" && domain === "") {
    throw invalidArgument(
      `settings of project ${JSON.stringify(project)} need a domain; name one, or leave the project out`,
    );
  }
  if (`${domain}${project}`.includes("\0")) throw invalidArgument("the key holds a NUL character");
  return { domain, project };
}

/** The scope and those around it, the widest first. */
export function settingsLevels({ domain, project }: SettingsScope): SettingsScope[] {
  const levels = [{ domain: "", project: "" }];
  if (domain !== "") levels.push({ domain, project: "" });
  if (project !== "") levels.push({ domain, project });
  return levels;
}

/** What is in force at the narrowest of these levels; each leaf says where it comes from. */
export function resolveSettings(levels: readonly { scope: SettingsScope; settings: Settings }[]): Settings {
  const result = reflect(SettingsSchema, create(SettingsSchema));
  for (const { scope, settings } of levels) {
    overlay(result, reflect(SettingsSchema, clone(SettingsSchema, settings)), levelOf(scope));
  }
  return result.message as Settings;
}

function levelOf({ domain, project }: SettingsScope): ScopeLevel {
  if (project !== "") return ScopeLevel.PROJECT;
  return domain !== "" ? ScopeLevel.DOMAIN : ScopeLevel.ORG;
}

function overlay(target: ReflectMessage, source: ReflectMessage, level: ScopeLevel): void {
  for (const field of source.fields) {
    if (field.fieldKind !== "message" || !source.isSet(field)) continue;
    const from = source.get(field);
    const leaf = leafFields(field.message);
    if (!leaf) {
      const into = target.get(field);
      overlay(into, from, level);
      target.set(field, into);
      continue;
    }
    const state = from.get(leaf.state);
    if (state === SettingState.INHERIT) continue;
    if (state === SettingState.VALUE && target.isSet(field)) mergeMaps(from, target.get(field));
    from.set(leaf.level, level);
    target.set(field, from);
  }
}

/** A leaf is a message with a state and a level. */
function leafFields(
  message: DescMessage,
): { state: DescField & { fieldKind: "enum" }; level: DescField & { fieldKind: "enum" } } | undefined {
  const enumField = (typeName: string) =>
    message.fields.find((field) => field.fieldKind === "enum" && field.enum.typeName === typeName);
  const state = enumField(SettingStateSchema.typeName);
  const level = enumField(ScopeLevelSchema.typeName);
  return state?.fieldKind === "enum" && level?.fieldKind === "enum" ? { state, level } : undefined;
}

/** Adds the inherited entries a map leaf does not have itself. */
function mergeMaps(own: ReflectMessage, inherited: ReflectMessage): void {
  for (const field of own.fields) {
    if (field.fieldKind === "message" && inherited.isSet(field) && holdsMap(field.message)) {
      const value = own.get(field);
      mergeMaps(value, inherited.get(field));
      own.set(field, value);
    } else if (field.fieldKind === "map") {
      const entries = own.get(field);
      for (const [key, value] of inherited.get(field)) {
        if (!entries.has(key)) entries.set(key, value);
      }
    }
  }
}

function holdsMap(message: DescMessage): boolean {
  return message.fields.some((field) => field.fieldKind === "map");
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import {
  type SettingsSchema as Schema,
  ScopeLevel,
  SettingState,
  SettingsSchema,
} from "@flyte-ts/contract/flyteidl2/settings/settings_definition_pb.ts";
import { SettingsService } from "@flyte-ts/contract/flyteidl2/settings/settings_service_pb.ts";
import { type TestScope, testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { failsWith, migrations, testTransport } from "../testing.ts";
import { resolveSettings, settingsLevels, settingsService } from "./index.ts";

/** The form of a plain object only; a message is not spread. */
type SettingsInit = Exclude<MessageInitShape<typeof Schema>, { $typeName: string }>;

const VALUE = SettingState.VALUE;
const queue = (stringValue: string): SettingsInit => ({ run: { defaultQueue: { state: VALUE, stringValue } } });
const labels = (entries: Record<string, string>): SettingsInit => ({ labels: { state: VALUE, mapValue: { entries } } });

const ORG = { org: "" };
const DOMAIN = { org: "", domain: "development" };
const PROJECT = { org: "", domain: "development", project: "shop" };

async function setUp(t: TestScope) {
  const database = await testDatabase(t, { migrations });
  return createClient(
    SettingsService,
    testTransport(({ service }) => void service(SettingsService, settingsService({ database }))),
  );
}

test("settings are kept for each scope with their version", async (t) => {
  const client = await setUp(t);
  const empty = await client.getSettingsForEdit({ key: PROJECT });
  assert.equal(empty.requestedKey?.project, "shop");
  assert.deepEqual(
    empty.levels.map(({ key, version }) => [key?.domain, key?.project, version]),
    [
      ["", "", 0n],
      ["development", "", 0n],
      ["development", "shop", 0n],
    ],
  );

  const created = await client.createSettings({ key: PROJECT, settings: queue("gpu") });
  assert.equal(created.settingsRecord?.version, 1n);
  const updated = await client.updateSettings({ key: PROJECT, settings: queue("cpu"), version: 1n });
  assert.equal(updated.settingsRecord?.version, 2n);

  const { levels } = await client.getSettingsForEdit({ key: PROJECT });
  assert.deepEqual(
    levels.map(({ version }) => version),
    [0n, 0n, 2n],
  );
  assert.equal(levels[2]?.settings?.run?.defaultQueue?.stringValue, "cpu");
  // The level itself, not what it inherits, and the same settings whatever the organization is called.
  assert.equal((await client.getSettingsForEdit({ key: ORG })).levels.length, 1);
  assert.equal((await client.getSettingsForEdit({ key: { ...PROJECT, org: "acme" } })).levels[2]?.version, 2n);
});

test("a writer that has not seen the current version is refused", async (t) => {
  const client = await setUp(t);
  const update = (version: bigint) => client.updateSettings({ key: DOMAIN, settings: queue("b"), version });
  await assert.rejects(update(1n), failsWith(Code.NotFound, /settings of domain development not found/));
  await client.createSettings({ key: DOMAIN, settings: queue("a") });
  await assert.rejects(
    client.createSettings({ key: DOMAIN, settings: queue("a") }),
    failsWith(Code.AlreadyExists, /settings of domain development exist already/),
  );
  await assert.rejects(update(0n), failsWith(Code.InvalidArgument, /needs the version/));
  const outcomes = await Promise.allSettled([update(1n), update(1n), update(1n)]);
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  for (const version of [1n, 3n, 2n ** 64n - 1n]) {
    await assert.rejects(update(version), failsWith(Code.FailedPrecondition, /at version 2, not .*read them again/));
  }
});

test("a key without domain names no project, and something must be sent", async (t) => {
  const client = await setUp(t);
  await assert.rejects(
    client.getSettings({ key: { project: "shop" } }),
    failsWith(Code.InvalidArgument, /need a domain/),
  );
  await assert.rejects(client.getSettings({ key: { domain: "a\0" } }), failsWith(Code.InvalidArgument, /NUL/));
  await assert.rejects(client.getSettingsForEdit({}), failsWith(Code.InvalidArgument, /key/));
  await assert.rejects(client.createSettings({ key: ORG }), failsWith(Code.InvalidArgument, /settings/));
});

test("getSettings resolves the levels", async (t) => {
  const client = await setUp(t);
  await client.createSettings({
    key: ORG,
    settings: create(SettingsSchema, { ...queue("wide"), ...labels({ a: "org", b: "org" }) }),
  });
  await client.createSettings({ key: DOMAIN, settings: labels({ b: "domain" }) });
  const { settingsRecord } = await client.getSettings({ key: PROJECT });
  assert.equal(settingsRecord?.version, 0n);
  assert.equal(settingsRecord.key?.project, "shop");
  assert.equal(settingsRecord.settings?.run?.defaultQueue?.stringValue, "wide");
  assert.equal(settingsRecord.settings?.run?.defaultQueue?.scopeLevel, ScopeLevel.ORG);
  assert.deepEqual(settingsRecord.settings?.labels?.mapValue?.entries, { a: "org", b: "domain" });
  assert.equal(settingsRecord.settings?.labels?.scopeLevel, ScopeLevel.DOMAIN);
});

test("fields of a newer contract survive", async (t) => {
  const client = await setUp(t);
  const bytes = [...toBinary(SettingsSchema, create(SettingsSchema, queue("a"))), 0xfa, 0x06, 0x03, 0x6e, 0x65, 0x77];
  await client.createSettings({ key: ORG, settings: fromBinary(SettingsSchema, Uint8Array.from(bytes)) });
  const { levels } = await client.getSettingsForEdit({ key: ORG });
  assert.deepEqual(
    levels[0]?.settings?.$unknown?.map(({ no }) => no),
    [111],
  );
});

describe("resolution", () => {
  const resolve = (...settings: SettingsInit[]) => {
    const scopes = settingsLevels({ domain: "d", project: "p" });
    return resolveSettings(
      settings.map((each, i) => ({
        scope: scopes[i] ?? { domain: "", project: "" },
        settings: create(SettingsSchema, each),
      })),
    );
  };

  test("nothing resolves to nothing", () => {
    assert.deepEqual(resolve(), create(SettingsSchema));
    assert.deepEqual(resolve({}, {}, { run: {} }).run?.defaultQueue, undefined);
  });

  test("the narrowest value wins, inherit looks through, siblings are left alone", () => {
    const found = resolve(
      {
        run: {
          defaultQueue: { state: VALUE, stringValue: "org" },
          maxActionConcurrency: { state: VALUE, intValue: 5n },
        },
      },
      queue("domain"),
      { run: { defaultQueue: { state: SettingState.INHERIT, stringValue: "ignored" } } },
    );
    assert.equal(found.run?.defaultQueue?.stringValue, "domain");
    assert.equal(found.run?.defaultQueue?.scopeLevel, ScopeLevel.DOMAIN);
    assert.equal(found.run?.maxActionConcurrency?.intValue, 5n);
    assert.equal(found.run?.maxActionConcurrency?.scopeLevel, ScopeLevel.ORG);
  });

  test("unset ends what is inherited, also of a map", () => {
    const unset = resolve(queue("org"), { run: { defaultQueue: { state: SettingState.UNSET } } });
    assert.equal(unset.run?.defaultQueue?.state, SettingState.UNSET);
    assert.equal(unset.run?.defaultQueue?.stringValue, "");
    assert.equal(unset.run?.defaultQueue?.scopeLevel, ScopeLevel.DOMAIN);
    const map = resolve(labels({ a: "org" }), { labels: { state: SettingState.UNSET } }, labels({ b: "project" }));
    assert.deepEqual(map.labels?.mapValue?.entries, { b: "project" });
  });

  test("an empty map still inherits, nested leaves resolve, the inputs stay as they are", () => {
    const org = create(SettingsSchema, {
      ...labels({ a: "org" }),
      taskResource: {
        min: { cpu: { state: VALUE, quantityValue: "1" } },
        defaultAccelerator: { state: VALUE, acceleratorValue: { device: "nvidia-l4" } },
      },
    });
    const domain = create(SettingsSchema, {
      labels: { state: VALUE },
      taskResource: {
        min: { memory: { state: VALUE, quantityValue: "1Gi" } },
        defaultAccelerator: { state: VALUE, acceleratorValue: { device: "nvidia-a100" } },
      },
    });
    const before = [toBinary(SettingsSchema, org), toBinary(SettingsSchema, domain)];
    const found = resolveSettings([
      { scope: { domain: "", project: "" }, settings: org },
      { scope: { domain: "d", project: "" }, settings: domain },
    ]);
    assert.deepEqual(found.labels?.mapValue?.entries, { a: "org" });
    assert.equal(found.taskResource?.min?.cpu?.quantityValue, "1");
    assert.equal(found.taskResource?.min?.memory?.quantityValue, "1Gi");
    assert.equal(found.taskResource?.defaultAccelerator?.acceleratorValue?.device, "nvidia-a100");
    assert.deepEqual([toBinary(SettingsSchema, org), toBinary(SettingsSchema, domain)], before);
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { AuthMetadataService } from "@flyte-ts/contract/flyteidl2/auth/auth_service_pb.ts";
import { IdentityService } from "@flyte-ts/contract/flyteidl2/auth/identity_pb.ts";
import { testTransport } from "../testing.ts";
import {
  describeIdentities,
  enrichedIdentity,
  identityService,
  localIdentity,
  openAuthMetadataService,
} from "./index.ts";

const routes = testTransport(({ service }) => {
  service(IdentityService, identityService());
  service(AuthMetadataService, openAuthMetadataService());
});

test("everybody is the local identity", async () => {
  const { subject, name, givenName, familyName, preferredUsername } = await createClient(
    IdentityService,
    routes,
  ).userInfo({});
  assert.deepEqual(
    [subject, name, givenName, familyName, preferredUsername],
    ["local", "Ada Lovelace", "Ada", "Lovelace", "Ada Lovelace"],
  );
});

test("a user without a name is called local", () => {
  assert.deepEqual(localIdentity(""), { subject: "local", name: "local", email: "" });
});

test("a request that nobody named is not somebody", async () => {
  const nobody = testTransport(({ service }) => void service(IdentityService, identityService()), {
    identity: { subject: "", name: "", email: "" },
  });
  await assert.rejects(
    createClient(IdentityService, nobody).userInfo({}),
    (error: unknown) => ConnectError.from(error).code === Code.Unauthenticated,
  );
});

test("there is no login to be sent to", async () => {
  const client = createClient(AuthMetadataService, routes);
  for (const call of [client.getOAuth2Metadata({}), client.getPublicClientConfig({})]) {
    await assert.rejects(call, (error: unknown) => {
      const { code, message } = ConnectError.from(error);
      assert.equal(code, Code.Unimplemented);
      assert.match(message, /no login.*without credentials/);
      return true;
    });
  }
});

test("a stored subject is shown with what is known of it", () => {
  const describe = describeIdentities([localIdentity("Ada Lovelace")]);
  const user = (subject: string) => {
    const principal = describe(subject)?.principal;
    assert.equal(principal?.case, "user");
    return { subject: principal.value.id?.subject, first: principal.value.spec?.firstName };
  };
  assert.deepEqual(user("local"), { subject: "local", first: "Ada" });
  assert.deepEqual(user("someone"), { subject: "someone", first: "" });
  assert.equal(describe(""), undefined);
  assert.equal(enrichedIdentity({ subject: "" }), undefined);
});

/**
 * For tests of services: a client's transport into them without a port, through the same interceptors as the real door
 * (errors mapped, requests held against the contract, an identity on each).
 *
 *     const projects = createClient(ProjectService, testTransport(({ service }) => service(ProjectService, impl)));
 */

import assert from "node:assert/strict";
import { Code, ConnectError, type ConnectRouter, createRouterTransport, type Transport } from "@connectrpc/connect";
import { errorMapping, requestValidation, validation } from "@flyte-ts/platform/rpc";
import { type Identity, identityInterceptor, localIdentity } from "./identity-service/index.ts";

/** The folder for `testDatabase(t, { migrations })`. */
export const migrations = new URL("./schema/migrations", import.meta.url).pathname;

/** An error nobody planned shows in the test's output, as it would in the server's log. */
const log = {
  debug: () => {},
  info: () => {},
  warn: (fields: object, message: string) => console.error(message, fields),
  error: (fields: object, message: string) => console.error(message, fields),
};

export function testTransport(
  routes: (router: ConnectRouter) => void,
  { identity = localIdentity("Ada Lovelace") }: { identity?: Identity } = {},
): Transport {
  const interceptors = [errorMapping(log), identityInterceptor(() => identity), validation(requestValidation())];
  return createRouterTransport(routes, { router: { interceptors } });
}

/** For `assert.rejects`: the wire's code, and words of the message. */
export function failsWith(code: Code, message: RegExp): (error: unknown) => true {
  return (error) => {
    const failed = ConnectError.from(error);
    assert.equal(Code[failed.code], Code[code], failed.message);
    assert.match(failed.message, message);
    return true;
  };
}

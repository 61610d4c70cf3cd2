/**
 * `IdentityService` and `AuthMetadataService` of a server without login (open mode): everybody is told the identity their
 * request has, and nobody is sent to an authorization server, because there is none.
 */

import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthMetadataService } from "@flyte-ts/contract/flyteidl2/auth/auth_service_pb.ts";
import type { IdentityService } from "@flyte-ts/contract/flyteidl2/auth/identity_pb.ts";
import { unauthenticated, unimplemented } from "@flyte-ts/core";
import { identityOf } from "./identity.ts";

export function identityService(): ServiceImpl<typeof IdentityService> {
  return {
    userInfo(_request, context) {
      const { subject, name, email } = identityOf(context);
      if (subject === "") throw unauthenticated("this request carries no identity; log in and repeat it");
      const [givenName = "", ...rest] = name.split(" ");
      return { subject, name, preferredUsername: name, givenName, familyName: rest.join(" "), email };
    },
  };
}

export function openAuthMetadataService(): ServiceImpl<typeof AuthMetadataService> {
  const refuse = (): never => {
    throw unimplemented(
      "this server has no login, so there is no OAuth2 configuration; connect without credentials (insecure: true, no auth type)",
    );
  };
  return { getOAuth2Metadata: refuse, getPublicClientConfig: refuse };
}

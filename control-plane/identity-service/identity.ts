/**
 * Who does a thing. An identity is put on each request by one interceptor; services ask `identityOf(context)` and store
 * its subject, nothing else, beside what was done.
 *
 * While there is no login (open mode) everybody is the same local identity, made by the composition from the user the
 * server runs as:
 *
 *     const local = localIdentity(userInfo().username);
 *     connectRoutes({ interceptors: [identityInterceptor(() => local)] });
 */

import { create } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey, type Interceptor } from "@connectrpc/connect";
import { type EnrichedIdentity, EnrichedIdentitySchema } from "@flyte-ts/contract/flyteidl2/common/identity_pb.ts";

export interface Identity {
  /** Unique and stable; what rows keep. */
  subject: string;
  /** For people to read. */
  name: string;
  email: string;
}

/** Nobody is named where no interceptor ran: attribution is empty then, never somebody else's. */
const nobody: Identity = { subject: "", name: "", email: "" };

const identityKey = createContextKey<Identity>(nobody, { description: "who does this" });

export const LOCAL_SUBJECT = "local";

/** The one identity of open mode. */
export function localIdentity(name: string): Identity {
  return { subject: LOCAL_SUBJECT, name: name || LOCAL_SUBJECT, email: "" };
}

/** Who does this request; `context` is the second argument of every handler. */
export function identityOf(context: { readonly values: ContextValues }): Identity {
  return context.values.get(identityKey);
}

/** Names each request's identity, from its headers where there is a login. */
export function identityInterceptor(identify: (header: Headers) => Identity | Promise<Identity>): Interceptor {
  return (next) => async (request) => {
    request.contextValues.set(identityKey, await identify(request.header));
    return await next(request);
  };
}

/** The wire's form; undefined for nobody, as a message without subject breaks the contract's rules. */
export function enrichedIdentity(identity: Partial<Identity> & { subject: string }): EnrichedIdentity | undefined {
  const { subject, name = "", email = "" } = identity;
  if (subject === "") return undefined;
  const [firstName = "", ...rest] = name.split(" ");
  return create(EnrichedIdentitySchema, {
    principal: {
      case: "user",
      value: { id: { subject }, spec: { firstName, lastName: rest.join(" "), email, userHandle: name } },
    },
  });
}

/** Turns a stored subject back into what is shown of its owner. */
export type DescribeIdentity = (subject: string) => EnrichedIdentity | undefined;

/** Knows these identities by name and everybody else by subject. */
export function describeIdentities(known: readonly Identity[]): DescribeIdentity {
  const bySubject = new Map(known.map((identity) => [identity.subject, identity]));
  return (subject) => enrichedIdentity(bySubject.get(subject) ?? { subject });
}

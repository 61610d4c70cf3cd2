/**
 * How Flyte's own tools name a secret in Kubernetes: a text that holds its scope is the one key of the object's data, and
 * the hash of that text is the object's name. Pure.
 */
import { createHash } from "node:crypto";

/** Where a secret is valid: everywhere, in a domain, or in a project of a domain. Empty is "any". */
export interface SecretId {
  project: string;
  domain: string;
  name: string;
}

/** There are no organisations here, and the tools write this in their place. */
const ORGANISATION = "flyte";

/** @example encodedName({ project: "", domain: "", name: "k" }) // "u__org__flyte__domain____project____key__k" */
export function encodedName({ project, domain, name }: SecretId): string {
  return `u__org__${ORGANISATION}__domain__${domain}__project__${project}__key__${name}`;
}

export function objectName(id: SecretId): string {
  return createHash("md5").update(encodedName(id)).digest("hex");
}

/** Undefined for what is no such name. */
export function decodedName(text: string): SecretId | undefined {
  const match = /^u__org__(.*?)__domain__(.*?)__project__(.*?)__key__(.+)$/s.exec(text);
  if (!match || match[1] !== ORGANISATION) return undefined;
  const [, , domain = "", project = "", name = ""] = match;
  return { domain, project, name };
}

/** From the narrowest scope to the widest: the first that is there is meant. */
export function cascade(scope: { project: string; domain: string }, name: string): SecretId[] {
  const { project, domain } = scope;
  return [
    { project, domain, name },
    { project: "", domain, name },
    { project: "", domain: "", name },
  ];
}

/** Which of the Secrets that people wrote a reference means. Pure. */
import { BY_HAND, DOMAIN, type KubeSecret, PROJECT } from "./objects.ts";
import type { SecretRef, SecretScope } from "./secret-values.ts";

/** Two secrets are meant, and nobody can tell which. */
export class AmbiguousSecretError extends Error {
  override readonly name = "AmbiguousSecretError";
}

export interface ByHand {
  /** How narrow its scope is: 2 as a project of a domain, 1 as a domain, 0 as everything. */
  rank: number;
  /** Base64. */
  value: string;
}

/** Of those whose labels admit the scope, the one of the narrowest scope. */
export function byHand(secrets: readonly KubeSecret[], scope: SecretScope, ref: SecretRef): ByHand | undefined {
  const meant = secrets.flatMap((secret) => {
    const value = Object.hasOwn(secret.data ?? {}, ref.key) ? secret.data?.[ref.key] : undefined;
    const rank = rankOf(secret, scope);
    if (value === undefined || rank === undefined) return [];
    return ref.group === "" || ref.group === secret.metadata.name ? [{ name: secret.metadata.name, rank, value }] : [];
  });
  const rank = Math.max(...meant.map((one) => one.rank));
  const [first, second] = meant.filter((one) => one.rank === rank);
  if (first && second) {
    throw new AmbiguousSecretError(
      `the secret \`${ref.key}\` is in several Secrets of the cluster, "${first.name}" and "${second.name}": let the task name one of them as its group`,
    );
  }
  return first;
}

/** Undefined where it is not valid. */
function rankOf({ metadata: { labels } }: KubeSecret, scope: SecretScope): number | undefined {
  if (labels?.[BY_HAND] !== "true") return undefined;
  const [project, domain] = [labels[PROJECT], labels[DOMAIN]];
  if (project !== undefined && project !== scope.project) return undefined;
  if (domain !== undefined && domain !== scope.domain) return undefined;
  if (project !== undefined) return 2;
  return domain === undefined ? 0 : 1;
}

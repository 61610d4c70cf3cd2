/**
 * Tasks' secrets from Secret objects of one namespace, the executor's: those that Flyte's own tools wrote, and those that
 * people wrote by hand and labelled `flyte.org/secret: "true"`.
 *
 *     const secrets = kubernetesSecrets({ client, namespace: "flyte" });
 *
 * Promise: the narrowest scope wins (project and domain, domain, everything); in the same scope what a tool wrote. A task
 * that names a group means the Secret of that name before any other. Nothing is kept, and no value is in any message.
 */
import { isKubernetesError, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { cascade, encodedName, objectName, type SecretId } from "./encoded-name.ts";
import { byHand } from "./find-by-hand.ts";
import { BY_HAND, type KubeSecret, secretsOf } from "./objects.ts";
import type { SecretRef, SecretScope, SecretValues } from "./secret-values.ts";

export interface KubernetesSecretsOptions {
  client: KubernetesClient;
  namespace: string;
}

/** Secrets may be as large as a megabyte. */
const PAGE = 50;

export function kubernetesSecrets({ client, namespace }: KubernetesSecretsOptions): SecretValues {
  const secrets = secretsOf(client);

  /** Base64. */
  async function byTool(id: SecretId): Promise<string | undefined> {
    try {
      return (await secrets.get(objectName(id), { namespace })).data?.[encodedName(id)];
    } catch (error) {
      if (isKubernetesError(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async function writtenByHand(): Promise<KubeSecret[]> {
    const found: KubeSecret[] = [];
    for (let next: string | undefined; ; ) {
      const more = next === undefined ? {} : { continue: next };
      const page = await secrets.list({ namespace, labelSelector: `${BY_HAND}=true`, limit: PAGE, ...more });
      found.push(...page.items);
      next = page.metadata.continue || undefined;
      if (next === undefined) return found;
    }
  }

  async function value(scope: SecretScope, ref: SecretRef, hand: readonly KubeSecret[]): Promise<string | undefined> {
    const own = byHand(hand, scope, ref);
    if (ref.group !== "" && own) return own.value;
    const ids = cascade(scope, ref.key);
    for (const [index, tool] of (await Promise.all(ids.map(byTool))).entries()) {
      if (tool !== undefined) return tool;
      // A narrower one of a person before a wider one of a tool.
      if (own?.rank === ids.length - 1 - index) return own.value;
    }
    return undefined;
  }

  return {
    async read(scope, refs) {
      if (refs.length === 0) return [];
      const hand = await writtenByHand();
      const values = await Promise.all(refs.map((ref) => value(scope, ref, hand)));
      return values.map((text) => (text === undefined ? undefined : Buffer.from(text, "base64")));
    },
  };
}

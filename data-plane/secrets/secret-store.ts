/**
 * The writing side: secrets as Flyte's own tools name them, in Secret objects of one namespace.
 *
 * Promise: a value goes in and never comes out; what {@link kubernetesSecrets} reads is what was put last. Objects of the
 * same name that somebody else made are left alone.
 */
import { isKubernetesError, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { decodedName, encodedName, objectName, type SecretId } from "./encoded-name.ts";
import { type KubeSecret, MANAGED, MANAGED_DOMAIN, MANAGED_PROJECT, secretsOf } from "./objects.ts";

export interface SecretEntry extends SecretId {
  createdAt: Date;
}

export interface SecretPage {
  secrets: SecretEntry[];
  /** Give it as `token` for the next page; absent on the last one. It expires within minutes. */
  next?: string;
}

export interface ListSecrets {
  /** All there are when empty. */
  project?: string;
  domain?: string;
  limit?: number;
  token?: string;
}

export interface SecretStore {
  /** `expect` refuses to replace, or to create; without it both are fine. */
  put(id: SecretId, value: Uint8Array, expect?: "absent" | "present"): Promise<"stored" | "exists" | "missing">;
  /** Without its value. */
  find(id: SecretId): Promise<SecretEntry | undefined>;
  list(options?: ListSecrets): Promise<SecretPage>;
  /** False when there was none. */
  delete(id: SecretId): Promise<boolean>;
}

/** What cannot be the name or the scope of a secret. */
export class SecretNameError extends Error {
  override readonly name = "SecretNameError";
}

/** As large as etcd takes, less what is around it. */
const MAX_VALUE_BYTES = 1_000_000;
const MAX_KEY = 253;

export function kubernetesSecretStore(options: { client: KubernetesClient; namespace: string }): SecretStore {
  const { client, namespace } = options;
  const secrets = secretsOf(client);

  async function get(id: SecretId): Promise<KubeSecret | undefined> {
    try {
      const secret = await secrets.get(objectName(id), { namespace });
      return isOurs(secret, id) ? secret : undefined;
    } catch (error) {
      if (isKubernetesError(error, "NotFound")) return undefined;
      throw error;
    }
  }

  /** False when there is one already. */
  async function create(id: SecretId, value: Uint8Array): Promise<boolean> {
    try {
      await secrets.create(objectOf(id, value, namespace));
      return true;
    } catch (error) {
      if (isKubernetesError(error, "AlreadyExists")) return false;
      throw error;
    }
  }

  /** False when there is none. */
  async function replace(id: SecretId, value: Uint8Array): Promise<boolean> {
    const existing = await get(id);
    if (!existing) return false;
    const { resourceVersion, uid } = existing.metadata;
    const fresh = objectOf(id, value, namespace);
    const metadata = {
      ...fresh.metadata,
      labels: { ...existing.metadata.labels, ...fresh.metadata.labels },
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(uid === undefined ? {} : { uid }),
    };
    try {
      await secrets.replace({ ...fresh, metadata });
      return true;
    } catch (error) {
      if (isKubernetesError(error, "NotFound")) return false;
      // Somebody else put one meanwhile: the last one wins.
      if (isKubernetesError(error, "Conflict")) return replace(id, value);
      throw error;
    }
  }

  return {
    async put(id, value, expect) {
      checked(id, value);
      if (expect !== "absent" && (await replace(id, value))) return "stored";
      if (expect === "present") return "missing";
      if (await create(id, value)) return "stored";
      if (expect === "absent") return "exists";
      if (await replace(id, value)) return "stored";
      throw new SecretNameError(
        `the Secret "${objectName(id)}" in namespace "${namespace}" stands in the way and is none of ours: delete it`,
      );
    },
    async find(id) {
      checked(id, new Uint8Array());
      const secret = await get(id);
      return secret && entryOf(secret, id);
    },
    async list({ project = "", domain = "", limit = 100, token } = {}) {
      // They become part of a selector, where a comma would mean more.
      if (!/^[-._a-zA-Z0-9]*$/.test(project + domain)) {
        throw new SecretNameError(`no project or domain is named ${JSON.stringify(`${project}/${domain}`)}`);
      }
      const selector = [
        `${MANAGED}=true`,
        ...(domain === "" ? [] : [`${MANAGED_DOMAIN}=${domain}`]),
        ...(project === "" ? [] : [`${MANAGED_PROJECT}=${project}`]),
      ];
      const more = token ? { continue: token } : {};
      const page = await secrets.list({ namespace, labelSelector: selector.join(","), limit, ...more });
      const entries = page.items.flatMap((secret) => {
        const [key = "", ...others] = Object.keys(secret.data ?? {});
        const id = others.length === 0 ? decodedName(key) : undefined;
        return id && secret.metadata.name === objectName(id) ? [entryOf(secret, id)] : [];
      });
      return { secrets: entries, ...(page.metadata.continue ? { next: page.metadata.continue } : {}) };
    },
    async delete(id) {
      checked(id, new Uint8Array());
      const existing = await get(id);
      if (!existing) return false;
      const { uid } = existing.metadata;
      try {
        await secrets.delete(objectName(id), { namespace, ...(uid ? { preconditions: { uid } } : {}) });
        return true;
      } catch (error) {
        if (isKubernetesError(error, "NotFound", "Conflict")) return false;
        throw error;
      }
    },
  };
}

function objectOf(id: SecretId, value: Uint8Array, namespace: string): KubeSecret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: objectName(id),
      namespace,
      labels: {
        [MANAGED]: "true",
        ...(id.domain === "" ? {} : { [MANAGED_DOMAIN]: id.domain }),
        ...(id.project === "" ? {} : { [MANAGED_PROJECT]: id.project }),
      },
    },
    type: "Opaque",
    data: { [encodedName(id)]: Buffer.from(value).toString("base64") },
  };
}

function isOurs(secret: KubeSecret, id: SecretId): boolean {
  return Object.hasOwn(secret.data ?? {}, encodedName(id));
}

function entryOf({ metadata }: KubeSecret, { project, domain, name }: SecretId): SecretEntry {
  return { project, domain, name, createdAt: new Date(metadata.creationTimestamp ?? 0) };
}

/** Throws what to change, without the value. */
function checked(id: SecretId, value: Uint8Array): void {
  if (id.name === "") throw new SecretNameError("a secret needs a name");
  if (id.project !== "" && id.domain === "") {
    throw new SecretNameError(`the secret \`${id.name}\` of the project ${id.project} needs a domain too`);
  }
  if (!/^[-._a-zA-Z0-9]+$/.test(encodedName(id))) {
    throw new SecretNameError(`\`${id.name}\` cannot be the name of a secret: use letters, digits, -, _ and .`);
  }
  if (encodedName(id).length > MAX_KEY) {
    throw new SecretNameError(
      `the name \`${id.name}\` is too long with its project and domain: shorten it by ${encodedName(id).length - MAX_KEY} characters`,
    );
  }
  if (value.length > MAX_VALUE_BYTES) {
    throw new SecretNameError(
      `the value of the secret \`${id.name}\` has ${value.length} bytes, more than ${MAX_VALUE_BYTES}`,
    );
  }
}

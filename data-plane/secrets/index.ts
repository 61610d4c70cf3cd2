/** Tasks' secrets: the port that plugins read, and Kubernetes Secret objects behind it. */
export { AmbiguousSecretError } from "./find-by-hand.ts";
export { type KubernetesSecretsOptions, kubernetesSecrets } from "./kubernetes-secrets.ts";
export {
  kubernetesSecretStore,
  type ListSecrets,
  type SecretEntry,
  SecretNameError,
  type SecretPage,
  type SecretStore,
} from "./secret-store.ts";
export type { SecretRef, SecretScope, SecretValues } from "./secret-values.ts";

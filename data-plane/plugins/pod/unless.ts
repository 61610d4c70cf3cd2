import { isKubernetesError, type KubernetesReason } from "@flyte-ts/platform/kubernetes";

/** Undefined when the call is refused for this reason. */
export async function unless<T>(reason: KubernetesReason, call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isKubernetesError(error, reason)) return undefined;
    throw error;
  }
}

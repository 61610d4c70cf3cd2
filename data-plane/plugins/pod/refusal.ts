/** What it means when the API server does not create a pod, or gives no answer. Pure. */
import { isKubernetesError, type KubernetesError } from "@flyte-ts/platform/kubernetes";
import type { AttemptError } from "../../executor/index.ts";
import { quantity } from "./quantity.ts";

export type Verdict =
  /** Nothing is wrong with the pod: there is no room for it yet. */
  { kind: "wait"; reason: string; message: string } | { kind: "fail"; error: AttemptError };

/** Undefined when the next try may go better, see {@link isPassing}, or when nothing is known of this error. */
export function verdictOn(error: KubernetesError): Verdict | undefined {
  const { message, said } = error;
  switch (error.reason) {
    case "TooLarge":
      return user("EntityTooLarge", `${message}; make the task's command line, variables or annotations smaller`);
    case "Invalid":
      return user("InvalidResource", message);
    case "BadRequest":
      return user("BadRequest", message);
    case "NotFound":
      return system("NamespaceNotFound", `${message}; create the namespace, or let the executor do it`);
    case "Forbidden":
      return forbidden(error, said);
    default:
      return undefined;
  }
}

function forbidden(error: KubernetesError, said: string): Verdict {
  const { message } = error;
  if (error.isQuota) {
    const never = neverFits(said);
    if (never) return user("ExceededQuota", `${message}; it will never fit: ${never}`);
    return { kind: "wait", reason: "ExceededQuota", message: said };
  }
  // Kubernetes makes both by itself, a moment after the namespace or the quota.
  if (/status unknown for quota|serviceaccount "default" not found/.test(said)) {
    return { kind: "wait", reason: "NamespaceNotReady", message: said };
  }
  if (/serviceaccount .* not found|error looking up service account/.test(said)) {
    return user("InvalidResource", `${message}; create the service account, or let the task name another one`);
  }
  if (/is being terminated|NamespaceTerminating/.test(said)) return system("NamespaceTerminating", message);
  if (/cannot create resource|no access/.test(said)) return system("Forbidden", message);
  // Limit ranges, pod security, admission: they look at the pod and say what is wrong with it.
  return user("InvalidResource", message);
}

/** A quota that is smaller than what is asked for: waiting changes nothing. */
function neverFits(said: string): string | undefined {
  const requested = amounts(/requested: ([^ ]+?)(?:, used:|$)/.exec(said)?.[1]);
  const limited = amounts(/limited: ([^ ]+)/.exec(said)?.[1]);
  for (const [name, amount] of requested) {
    const limit = limited.get(name);
    if (limit !== undefined && (quantity(amount) ?? 0) > (quantity(limit) ?? Number.POSITIVE_INFINITY)) {
      return `${name}=${amount} is more than the whole quota of ${limit}`;
    }
  }
  return undefined;
}

function amounts(text: string | undefined): Map<string, string> {
  const pairs = (text ?? "").split(",").map((pair) => pair.split("="));
  return new Map(pairs.flatMap(([name, value]) => (name && value ? [[name, value] as const] : [])));
}

/** The API server is away, busy or starting: the same call may succeed later, and no attempt is to fail for it. */
export function isPassing(error: unknown): error is KubernetesError {
  return isKubernetesError(
    error,
    "Unreachable",
    "ServiceUnavailable",
    "InternalError",
    "Timeout",
    "TooManyRequests",
    "Conflict",
    "Unauthorized",
  );
}

function user(code: string, message: string): Verdict {
  return { kind: "fail", error: { code, message, kind: "user", recoverable: false } };
}

function system(code: string, message: string): Verdict {
  return { kind: "fail", error: { code, message, kind: "system", recoverable: true } };
}

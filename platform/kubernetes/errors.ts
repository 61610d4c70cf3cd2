/**
 * Every failure of a call to Kubernetes as one error, told apart by `reason`.
 *
 * Promise: the message names the verb, the resource, the object and what the API server said; a refusal for want of
 * rights says which rule is missing. `reason` is the API server's own word, with what is the same made the same: `Gone`
 * also stands for `Expired`, `TooLarge` for everything that etcd or the API server finds too big, `Unreachable` for
 * what never got an answer.
 *
 *     catch (error) { if (isKubernetesError(error, "NotFound")) return undefined; throw error; }
 */
import type { Status } from "./objects.ts";

export type KubernetesReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "MethodNotAllowed"
  | "AlreadyExists"
  | "Conflict"
  | "Gone"
  | "TooLarge"
  | "UnsupportedMediaType"
  | "Invalid"
  | "TooManyRequests"
  | "InternalError"
  | "ServiceUnavailable"
  | "Timeout"
  | "Unreachable"
  | "Unknown";

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** What was asked: the words of a message, and of a rule in a Role. */
export interface Target {
  verb: Verb;
  /** `pods`, `taskactions/status`; a path where no resource is known. */
  resource: string;
  group?: string;
  namespace?: string;
  name?: string;
}

export interface KubernetesErrorDetails extends Target {
  /** The HTTP status; 0 when there was no answer. */
  status: number;
  reason: KubernetesReason;
  /** What the API server, or the network, said. */
  said: string;
  retryAfterMs?: number;
  /** The fields that were refused, of `Invalid`. */
  fields?: readonly string[];
}

export class KubernetesError extends Error {
  override readonly name = "KubernetesError";
  readonly status: number;
  readonly reason: KubernetesReason;
  readonly verb: Verb;
  readonly resource: string;
  readonly namespace: string | undefined;
  /** Of the object; an Error's `name` is taken. */
  readonly objectName: string | undefined;
  readonly said: string;
  readonly retryAfterMs: number | undefined;
  readonly fields: readonly string[];

  constructor(details: KubernetesErrorDetails, options?: ErrorOptions) {
    super(sentence(details), options);
    this.status = details.status;
    this.reason = details.reason;
    this.verb = details.verb;
    this.resource = details.resource;
    this.namespace = details.namespace;
    this.objectName = details.name;
    this.said = details.said;
    this.retryAfterMs = details.retryAfterMs;
    this.fields = details.fields ?? [];
  }

  /** A quota is full: the same request may succeed when something ends. */
  get isQuota(): boolean {
    return this.reason === "Forbidden" && /exceeded quota/.test(this.said);
  }
}

export function isKubernetesError(error: unknown, ...reasons: KubernetesReason[]): error is KubernetesError {
  return error instanceof KubernetesError && (reasons.length === 0 || reasons.includes(error.reason));
}

/** From an answer of 400 or more. `body` may be a Status, or text of something on the way. */
export function errorOfAnswer(target: Target, status: number, body: string, retryAfter?: string): KubernetesError {
  const parsed = parseStatus(body);
  const said = parsed?.message || body.trim().slice(0, 1_000) || `no text came with status ${status}`;
  return new KubernetesError({
    ...target,
    status,
    reason: reasonOf(status, parsed?.reason, said),
    said,
    retryAfterMs: retryAfterMs(retryAfter, parsed),
    fields: parsed?.details?.causes?.flatMap(({ field }) => (field ? [field] : [])),
  });
}

/** From the ERROR event of a watch. */
export function errorOfStatus(target: Target, status: Status): KubernetesError {
  const code = status.code ?? 500;
  const said = status.message ?? "no message";
  const reason = reasonOf(code, status.reason, said);
  return new KubernetesError({ ...target, status: code, reason, said, retryAfterMs: retryAfterMs(undefined, status) });
}

/** From what the network threw. */
export function errorOfNetwork(target: Target, server: string, cause: unknown): KubernetesError {
  const code = (cause as { code?: string }).code;
  const said = `${server} gave no answer: ${cause instanceof Error ? cause.message || code : String(cause)}`;
  return new KubernetesError({ ...target, status: 0, reason: "Unreachable", said }, { cause });
}

const known: Readonly<Record<string, KubernetesReason>> = {
  Expired: "Gone",
  RequestEntityTooLarge: "TooLarge",
  ServerTimeout: "Timeout",
};

const byStatus: Readonly<Record<number, KubernetesReason>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  410: "Gone",
  413: "TooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  502: "ServiceUnavailable",
  503: "ServiceUnavailable",
  504: "Timeout",
};

const words: ReadonlySet<string> = new Set([...Object.values(byStatus), "AlreadyExists"]);

function reasonOf(status: number, reason: string | undefined, said: string): KubernetesReason {
  // Objects between the limit of etcd and that of the API server come back as an internal error.
  if (/request is too large|larger than max/.test(said)) return "TooLarge";
  if (reason !== undefined) {
    const same = known[reason];
    if (same) return same;
    if (words.has(reason)) return reason as KubernetesReason;
  }
  return byStatus[status] ?? "Unknown";
}

function parseStatus(body: string): Status | undefined {
  if (!body.startsWith("{")) return undefined;
  try {
    const parsed = JSON.parse(body) as Status;
    return parsed.kind === "Status" ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function retryAfterMs(header: string | undefined, status: Status | undefined): number | undefined {
  const seconds = Number(header ?? status?.details?.retryAfterSeconds);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

function sentence(details: KubernetesErrorDetails): string {
  const where = details.namespace ? ` in namespace "${details.namespace}"` : "";
  const which = details.name ? ` "${details.name}"` : "";
  const what = `cannot ${details.verb} ${details.resource}${which}${where}`;
  const code = details.status > 0 ? `${details.reason} (${details.status})` : details.reason;
  return `${what}: ${code}: ${details.said}${hint(details)}`;
}

function hint({ reason, status, namespace, said }: KubernetesErrorDetails): string {
  if (status === 401) return "; check the credentials of the kubeconfig or the service account's token";
  // The authorizer's own words, since what is missing need not be what was asked (impersonation).
  const missing = /cannot (\S+) resource "([^"]+)" in API group "([^"]*)"( at the cluster scope)?/.exec(said);
  if (reason !== "Forbidden" || !missing) return "";
  const [, verb, resource, group, everywhere] = missing;
  const role = namespace && !everywhere ? `a Role in "${namespace}"` : "a ClusterRole";
  return `; allow verb "${verb}" on resource "${resource}" of API group "${group}" in ${role} bound to this account`;
}

/** Which refusals of the API server are the end of an attempt, and which objects are too large to be tried. Pure. */
import type { KubernetesError } from "@flyte-ts/platform/kubernetes";
import { type AttemptError, UnstorableError } from "../executor/index.ts";
import type { TaskAction } from "./task-action.ts";

/** etcd takes 1.5 MiB; the rest is for the status. */
const maxObjectBytes = 1 << 20;

/** Undefined: trouble that may pass. */
export function refusalOf(error: KubernetesError): UnstorableError | undefined {
  const { reason, said, message } = error;
  const refused = (code: string, kind: AttemptError["kind"], text: string) =>
    new UnstorableError({ code, message: text, kind, recoverable: kind === "system" }, { cause: error });
  switch (reason) {
    case "TooLarge":
      return refused("TaskActionTooLarge", "user", `${message}; ${smaller}`);
    case "Invalid":
    case "BadRequest":
      return refused("InvalidSpec", "user", message);
    case "Forbidden":
      return error.isQuota || /is being terminated|status unknown for quota/.test(said)
        ? undefined
        : refused("Forbidden", "system", message);
    default:
      return undefined;
  }
}

export function noNamespace(error: KubernetesError): UnstorableError {
  const message = `${error.message}; create the namespace, or let the executor do it`;
  const attemptError = { code: "NamespaceNotFound", message, kind: "system", recoverable: true } as const;
  return new UnstorableError(attemptError, { cause: error });
}

/** Undefined: it fits. */
export function tooLarge(object: TaskAction, key: string): UnstorableError | undefined {
  const bytes = bytesOf(object);
  if (bytes <= maxObjectBytes) return undefined;
  const { envVars, runLabels, runAnnotations } = object.spec;
  const parts = [
    { name: "its environment variables", bytes: bytesOf(envVars) },
    { name: "its labels", bytes: bytesOf(runLabels) },
    { name: "its annotations", bytes: bytesOf(runAnnotations) },
  ].sort((a, b) => b.bytes - a.bytes);
  const why = parts.map((part) => `${part.name} ${part.bytes}`).join(", ");
  const message = `the TaskAction of attempt ${key} would have ${bytes} bytes, a cluster keeps ${maxObjectBytes} at most (${why}): ${smaller}`;
  return new UnstorableError({ code: "TaskActionTooLarge", message, kind: "user", recoverable: false });
}

const smaller = "make the run's variables, labels or annotations smaller, and pass what is large as inputs or files";

function bytesOf(value: object | undefined): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}

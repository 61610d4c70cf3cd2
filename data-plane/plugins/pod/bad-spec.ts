/** What a task asks for and no cluster, or not this one, can give. */
import type { AttemptError } from "../../executor/index.ts";

/** Thrown while a pod is built; trying again changes nothing. */
export class BadSpecError extends Error {
  override readonly name = "BadSpecError";
  readonly code: string;
  constructor(message: string, code = "BadTaskSpecification") {
    super(message);
    this.code = code;
  }

  /** As the attempt's end. */
  get attemptError(): AttemptError {
    return { code: this.code, message: this.message, kind: "user", recoverable: false };
  }
}

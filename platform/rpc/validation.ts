/**
 * Every request is held against the rules of its contract (`buf.validate` options) before a handler sees it.
 *
 * Promise: a request that breaks a rule is INVALID_ARGUMENT and the message names the field; handlers need not check
 * again. Responses are never validated. The listed exceptions are the only rules we do not enforce.
 */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { createValidator, RuntimeError, type Violation } from "@bufbuild/protovalidate";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { quickCheck } from "./quick-check.ts";

/** Throws a ConnectError that names every broken rule. */
export type Validate = (schema: DescMessage, message: Message) => void;

/**
 * Rules of the contract that official clients break by design.
 *
 * Clients of a local endpoint have no organisation and send `""` for it everywhere, while tasks send a made-up one; the
 * contract asks for at least one character. Organisations mean nothing here, so these fields may be empty.
 */
const emptyAllowed: ReadonlySet<string> = new Set(["org", "organization"]);

/**
 * Requests that must never be refused: clients ask for a cluster before every call to the data plane, with whatever
 * resource they have, and an empty organisation among them.
 */
const unchecked: ReadonlySet<string> = new Set(["flyteidl2.cluster.SelectClusterRequest"]);

function isException(violation: Violation): boolean {
  const last = violation.field.at(-1);
  if (last?.kind !== "field" || !emptyAllowed.has(last.name)) return false;
  return violation.ruleId === "string.min_len" || violation.ruleId === "required";
}

export function requestValidation(): Validate {
  const validator = createValidator();
  const broken = (schema: DescMessage, message: Message): Violation[] => {
    const result = validator.validate(schema, message);
    if (result.kind === "error") {
      if (!(result.error instanceof RuntimeError)) throw result.error;
      // a value no rule can be computed on, such as a duration beyond its range: the caller's, not ours
      throw new ConnectError(`${schema.typeName} cannot be validated: ${result.error.message}`, Code.InvalidArgument);
    }
    return result.kind === "valid" ? [] : result.violations.filter((violation) => !isException(violation));
  };
  const holds = quickCheck({
    slow: (schema, message) => validator.validate(schema, message).kind === "valid",
    mayBeEmpty: (field) => emptyAllowed.has(field.name),
  });
  return (schema, message) => {
    if (unchecked.has(schema.typeName) || holds(schema, message)) return;
    const violations = broken(schema, message);
    if (violations.length === 0) return;
    throw new ConnectError(
      `${schema.typeName} is invalid: ${violations.map((violation) => violation.toString()).join("; ")}`,
      Code.InvalidArgument,
    );
  };
}

/** Innermost interceptor: validates each incoming message, also those of a stream. */
export function validation(validate: Validate): Interceptor {
  return (next) => (req) => {
    if (!req.stream) {
      validate(req.method.input, req.message);
      return next(req);
    }
    return next({ ...req, message: validated(validate, req.method.input, req.message) });
  };
}

async function* validated<T extends Message>(
  validate: Validate,
  schema: DescMessage,
  messages: AsyncIterable<T>,
): AsyncIterable<T> {
  for await (const message of messages) {
    validate(schema, message);
    yield message;
  }
}

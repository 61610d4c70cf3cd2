/** Fills the placeholders of a task's command line, such as `{{.outputPrefix}}` and `{{.inputs.name}}`. Pure. */
import type { Literal, Primitive } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { Inputs } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { toDate, toMs } from "@flyte-ts/core";

export interface TemplateValues {
  input: string;
  inputPrefix: string;
  outputPrefix: string;
  rawOutputDataPrefix: string;
  checkpointOutputPrefix: string;
  prevCheckpointPrefix: string;
  perRetryUniqueKey: string;
  taskTemplatePath: string;
  namespace: string;
  runName: string;
  actionName: string;
  runStartTime: string;
}

const PLACEHOLDER = /\{\{\s*[.$](\w+)(?:\.(\w+))?\s*\}\}/g;

/** True when a command line names an input by `{{.inputs.x}}`, so that the inputs must be read. */
export function usesInputs(args: readonly string[]): boolean {
  return args.some((arg) => [...arg.matchAll(PLACEHOLDER)].some((match) => isInput(match[1], match[2])));
}

/** True when a command line names a placeholder, in any case of letters. */
export function usesPlaceholder(args: readonly string[], name: keyof TemplateValues): boolean {
  const wanted = name.toLowerCase();
  return args.some((arg) => [...arg.matchAll(PLACEHOLDER)].some((match) => match[1]?.toLowerCase() === wanted));
}

/**
 * Placeholders are matched in any case of letters; an unknown one is left as it is. Throws when an input is named that
 * is absent or has no text form. `quote` makes what is put in safe for whoever reads the line next.
 */
export function fillTemplate(
  arg: string,
  values: TemplateValues,
  inputs: Inputs | undefined,
  quote: (text: string) => string = (text) => text,
): string {
  if (!arg.includes("{{")) return arg;
  const table = new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value as string]));
  return arg.replace(PLACEHOLDER, (whole, name: string, member: string | undefined) => {
    if (isInput(name, member)) return quote(inputText(inputs, member ?? ""));
    const value = member === undefined ? table.get(name.toLowerCase()) : undefined;
    return value === undefined ? whole : quote(value);
  });
}

function isInput(name: string | undefined, member: string | undefined): boolean {
  return member !== undefined && name?.toLowerCase() === "inputs";
}

function inputText(inputs: Inputs | undefined, name: string): string {
  const literal = inputs?.literals.find((one) => one.name === name)?.value;
  if (!literal) throw new Error(`the command line names the input \`${name}\`, which the action was not given`);
  const text = literalText(literal);
  if (text === undefined) {
    throw new Error(
      `the input \`${name}\` has no text form for a command line: pass a primitive, a file or a list of them`,
    );
  }
  return text;
}

/** The text of a literal as the Go backend writes it into command lines. */
export function literalText(literal: Literal): string | undefined {
  if (literal.value.case === "collection") {
    const parts = literal.value.value.literals.map(literalText);
    return parts.includes(undefined) ? undefined : `[${parts.join(",")}]`;
  }
  if (literal.value.case !== "scalar") return undefined;
  const scalar = literal.value.value.value;
  switch (scalar.case) {
    case "primitive":
      return primitiveText(scalar.value);
    case "blob":
    case "schema":
    case "structuredDataset":
      return scalar.value.uri;
    case "union":
      return scalar.value.value ? literalText(scalar.value.value) : undefined;
    default:
      return undefined;
  }
}

function primitiveText({ value }: Primitive): string | undefined {
  switch (value.case) {
    case "integer":
    case "floatValue":
    case "boolean":
      return String(value.value);
    case "stringValue":
      return value.value;
    case "datetime":
      return toDate(value.value).toISOString();
    case "duration":
      return durationText(toMs(value.value));
    default:
      return undefined;
  }
}

/** As Go writes a time.Duration: `1h2m3.5s`, `250ms`, `0s`. */
function durationText(ms: number): string {
  if (ms === 0) return "0s";
  const sign = ms < 0 ? "-" : "";
  const total = Math.abs(ms);
  if (total < 1000) return `${sign}${total}ms`;
  const hours = Math.floor(total / 3_600_000);
  const minutes = Math.floor((total % 3_600_000) / 60_000);
  const seconds = (total % 60_000) / 1000;
  return `${sign}${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds}s`;
}

/**
 * The help texts, made from the verbs themselves.
 */
import type { Verb } from "./verb.ts";

/** `flyte-ts --help` */
export function overview(verbs: readonly Verb[]): string {
  const width = Math.max(...verbs.map((verb) => verb.name.length));
  return [
    "usage: flyte-ts <verb> [options]",
    "",
    ...verbs.map((verb) => `  ${verb.name.padEnd(width)}  ${verb.summary}`),
    "",
    "flyte-ts <verb> --help tells more about one; flyte-ts --version prints the version.",
    "",
  ].join("\n");
}

/** `flyte-ts <verb> --help` */
export function verbHelp(verb: Verb): string {
  const rows = [...Object.entries(verb.options), ["help", { type: "boolean", short: "h", help: "this text" }] as const];
  const heads = rows.map(([name, option]) => {
    const short = option.short === undefined ? "" : `-${option.short}, `;
    return option.type === "string" ? `${short}--${name} ${option.value ?? "TEXT"}` : `${short}--${name}`;
  });
  const width = Math.max(...heads.map((head) => head.length));
  return [
    `usage: flyte-ts ${verb.usage}`,
    "",
    `${verb.summary}.`,
    "",
    ...rows.map(([, option], index) => `  ${(heads[index] ?? "").padEnd(width)}  ${option.help}`),
    "",
  ].join("\n");
}

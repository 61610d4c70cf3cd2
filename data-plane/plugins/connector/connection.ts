/**
 * What a task says about its connection: `custom.secrets` names a secret for each argument of the connector, and
 * `custom.configs` plain values. Pure.
 *
 * A name is first looked for among the secrets the task asks for, by their variable and by their key, so that one task
 * works both locally (where the SDK reads the variable) and here; otherwise it is the key of a secret without a group.
 * Only secrets that are named here go to the connector.
 */
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { SecretRef } from "../../secrets/index.ts";
import { BadTaskError } from "./bad-task.ts";

export interface ConnectionSpec {
  secrets: readonly { argument: string; ref: SecretRef }[];
  configs: Readonly<Record<string, string>>;
}

export function connectionSpec(template: TaskTemplate | undefined): ConnectionSpec {
  const { secrets, configs } = template?.custom ?? {};
  const asked = template?.securityContext?.secrets ?? [];
  return {
    secrets: entries(secrets).map(([argument, name]) => {
      if (typeof name !== "string" || name === "") {
        throw new BadTaskError(
          "BadTaskSpecification",
          `\`secrets.${argument}\` in the task's custom part must be the name of a secret`,
        );
      }
      const known = asked.find(({ envVar }) => envVar === name) ?? asked.find(({ key }) => key === name);
      const ref = known
        ? { group: known.group, key: known.key, version: known.groupVersion }
        : { group: "", key: name, version: "" };
      return { argument, ref };
    }),
    configs: Object.fromEntries(
      entries(configs).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    ),
  };
}

/** `values` in the order of the spec's secrets. */
export function secretArguments(
  { secrets }: ConnectionSpec,
  values: readonly (Uint8Array | undefined)[],
): Record<string, string> {
  return Object.fromEntries(
    secrets.map(({ argument, ref }, index) => {
      const value = values[index];
      const name = ref.group === "" ? `\`${ref.key}\`` : `\`${ref.key}\` of group \`${ref.group}\``;
      if (value === undefined) {
        throw new BadTaskError(
          "SecretNotFound",
          `the connector needs the secret ${name} as \`${argument}\`, which does not exist for the task's project and domain: create it`,
        );
      }
      try {
        return [argument, new TextDecoder("utf-8", { fatal: true }).decode(value)];
      } catch {
        throw new BadTaskError(
          "SecretNotText",
          `the secret ${name} is no text (UTF-8), and connectors take nothing else`,
        );
      }
    }),
  );
}

function entries(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
}

/** Pods built for tests, with the parts a test does not care about filled in. */
import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type TaskTemplate, TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { attemptPlaces } from "../../../executor/index.ts";
import { keyOf, leaseOf } from "../../../executor/testing/leases.ts";
import { BadSpecError } from "../bad-spec.ts";
import { type BuildParts, buildPod } from "../build.ts";
import { podConfig } from "../config.ts";
import type { Container, PodSpec } from "../objects.ts";

export type Template = Partial<Omit<Exclude<MessageInitShape<typeof TaskTemplateSchema>, TaskTemplate>, "$typeName">>;
type Overrides = Partial<Omit<BuildParts, "config">> & { lease?: BuildParts["lease"]; config?: object };

export function containerTask(container: object, rest: Template = {}): Template {
  return {
    type: "python",
    target: { case: "container", value: { image: "task:1", args: ["a0"], ...container } },
    ...rest,
  };
}

export function podTask(podSpec: object, rest: Template = {}, primaryContainerName = ""): Template {
  return {
    type: "python",
    target: { case: "k8sPod", value: { podSpec: podSpec as never, primaryContainerName } },
    ...rest,
  };
}

export function build(template: Template, { config, lease = leaseOf(), ...rest }: Overrides = {}) {
  return buildPod({
    key: keyOf(lease),
    lease,
    template: create(TaskTemplateSchema, template),
    places: attemptPlaces(lease),
    config: podConfig.parse(config ?? {}),
    cluster: "east",
    namespace: "p-development",
    owner: undefined,
    server: {},
    serverSecrets: {},
    inputs: undefined,
    secretValues: [],
    podTemplate: undefined,
    ...rest,
  });
}

export const spec = (template: Template, overrides?: Overrides): PodSpec => build(template, overrides).pod.spec;
export const main = (template: Template, overrides?: Overrides): Container =>
  spec(template, overrides).containers[0] as Container;
export const envOf = (container: Container | undefined) =>
  Object.fromEntries((container?.env ?? []).map(({ name, value, valueFrom }) => [name, value ?? valueFrom]));
export const refuses = (template: Template, message: RegExp, overrides?: Overrides, code = "BadTaskSpecification") =>
  assert.throws(
    () => build(template, overrides),
    (error) => {
      assert.ok(error instanceof BadSpecError);
      assert.match(error.message, message);
      assert.deepEqual(
        [error.attemptError.code, error.attemptError.kind, error.attemptError.recoverable],
        [code, "user", false],
      );
      return true;
    },
  );

/** Reads what a pod is built from: inputs, secrets, its template, the object that owns it. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Secret } from "@flyte-ts/contract/flyteidl2/core/security_pb.ts";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { type Inputs, InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { AttemptContext } from "../../executor/index.ts";
import { AmbiguousSecretError, type SecretScope } from "../../secrets/index.ts";
import { usesInputs, usesPlaceholder } from "../../task-code/index.ts";
import { BadSpecError } from "./bad-spec.ts";
import { type BuildParts, commandTexts, podTemplateName } from "./build.ts";
import type { PodOptions } from "./options.ts";
import { refsOf, secretsOf } from "./secrets.ts";

export type PartsOptions = Pick<
  PodOptions,
  | "cluster"
  | "objectStore"
  | "secrets"
  | "config"
  | "namespace"
  | "owner"
  | "podTemplate"
  | "taskEnvironment"
  | "secretEnvironment"
>;

const MAX_INPUT_BYTES = 64 << 20;

/** Trouble that may pass is thrown. */
export function podParts(options: PartsOptions): (context: AttemptContext) => Promise<BuildParts> {
  const { objectStore, config } = options;

  async function readInputs(uri: string): Promise<Inputs> {
    return fromBinary(InputsSchema, await objectStore.get(uri, { maxBytes: MAX_INPUT_BYTES }));
  }

  async function secretValuesOf(scope: SecretScope, secrets: readonly Secret[]): Promise<(Uint8Array | undefined)[]> {
    try {
      return await options.secrets.read(scope, refsOf(secrets));
    } catch (error) {
      if (error instanceof AmbiguousSecretError) throw new BadSpecError(error.message, "SecretAmbiguous");
      throw error;
    }
  }

  return async function partsFor(context) {
    const { lease, places } = context;
    const template = context.task.taskTemplate;
    const namespace = options.namespace(lease);
    const texts = commandTexts(template);
    const secrets = secretsOf(template);
    const scope = { project: lease.ref?.project ?? "", domain: lease.ref?.domain ?? "" };
    const templateName = podTemplateName(template, config);
    const [inputs, secretValues, podTemplate, owner] = await Promise.all([
      usesInputs(texts) && places.inputUri !== "" ? readInputs(places.inputUri) : undefined,
      secrets.length > 0 ? secretValuesOf(scope, secrets) : [],
      templateName === undefined ? undefined : options.podTemplate(namespace, templateName),
      options.owner?.(context),
    ]);
    if (template && usesPlaceholder(texts, "taskTemplatePath")) {
      await objectStore.put(`${places.attemptUri}/task.pb`, toBinary(TaskTemplateSchema, template));
    }
    return {
      key: context.key,
      lease,
      template,
      places,
      config,
      cluster: options.cluster,
      namespace,
      owner,
      server: options.taskEnvironment(),
      serverSecrets: options.secretEnvironment?.() ?? {},
      inputs,
      secretValues,
      podTemplate,
    };
  };
}

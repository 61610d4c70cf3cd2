/** Reads what a pod needs (inputs, secrets, its template), builds it, and creates it. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { type Inputs, InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { isKubernetesError } from "@flyte-ts/platform/kubernetes";
import type { AttemptContext, AttemptError } from "../../executor/index.ts";
import { usesInputs, usesPlaceholder } from "../../task-code/index.ts";
import { BadSpecError } from "./bad-spec.ts";
import { buildPod, commandTexts, type PodObjects, podTemplateName } from "./build.ts";
import { ATTEMPT_KEY, CLUSTER, PRIMARY } from "./labels.ts";
import type { Pod } from "./objects.ts";
import type { PodOptions } from "./options.ts";
import { verdictOn } from "./refusal.ts";
import { refsOf, secretsOf } from "./secrets.ts";

export type Created =
  | { kind: "created"; pod: Pod; secret: boolean; primary: string }
  | { kind: "wait"; reason: string; message: string }
  | { kind: "fail"; error: AttemptError };

const MAX_INPUT_BYTES = 64 << 20;

/** Trouble that may pass is thrown. */
export function creator(options: PodOptions): (context: AttemptContext) => Promise<Created> {
  const { objectStore, config, pods } = options;

  async function objectsFor(context: AttemptContext): Promise<PodObjects> {
    const { lease, places } = context;
    const template = context.task.taskTemplate;
    const namespace = options.namespace(lease);
    const texts = commandTexts(template);
    const secrets = secretsOf(template);
    const scope = { project: lease.ref?.project ?? "", domain: lease.ref?.domain ?? "" };
    const templateName = podTemplateName(template, config);
    const [inputs, secretValues, podTemplate, owner] = await Promise.all([
      usesInputs(texts) && places.inputUri !== "" ? readInputs(places.inputUri) : undefined,
      secrets.length > 0 ? options.secrets.read(scope, refsOf(secrets)) : [],
      templateName === undefined ? undefined : options.podTemplate(namespace, templateName),
      options.owner?.(context),
    ]);
    if (template && usesPlaceholder(texts, "taskTemplatePath")) {
      await objectStore.put(`${places.attemptUri}/task.pb`, toBinary(TaskTemplateSchema, template));
    }
    return buildPod({
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
    });
  }

  async function readInputs(uri: string): Promise<Inputs> {
    return fromBinary(InputsSchema, await objectStore.get(uri, { maxBytes: MAX_INPUT_BYTES }));
  }

  return async function create(context) {
    let objects: PodObjects;
    try {
      objects = await objectsFor(context);
    } catch (error) {
      if (error instanceof BadSpecError) return { kind: "fail", error: error.attemptError };
      throw error;
    }
    const secret = objects.secret !== undefined;
    const primary = objects.pod.metadata.annotations?.[PRIMARY] ?? "";
    try {
      const pod = await pods.create(objects);
      return isOurs(pod, context.key, options.cluster)
        ? { kind: "created", pod, secret, primary }
        : { kind: "fail", error: taken(pod) };
    } catch (error) {
      const verdict = isKubernetesError(error) ? verdictOn(error) : undefined;
      if (!verdict) throw error;
      return verdict;
    }
  };
}

/** Made by an executor of this cluster, for this attempt. */
export function isOurs(pod: Pod, key: string, cluster: string): boolean {
  const { annotations, labels } = pod.metadata;
  return annotations?.[ATTEMPT_KEY] === key && labels?.[CLUSTER] === cluster;
}

function taken({ metadata }: Pod): AttemptError {
  const message = `the pod ${metadata.name} in namespace ${metadata.namespace} exists and belongs to something else: give every executor namespaces or a cluster of its own`;
  return { code: "NameTaken", message, kind: "system", recoverable: true };
}

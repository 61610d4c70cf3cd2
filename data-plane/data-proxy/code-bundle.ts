/**
 * Where the code of a task lies: what its metadata says, else the argument that its entry point downloads it by.
 *
 *     codeBundleUri(spec)  // "s3://flyte-data/uploads/p/d/ABC/fast123.tar.gz", or undefined for code inside an image
 */
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";

export function codeBundleUri(spec: TaskSpec): string | undefined {
  const template = spec.taskTemplate;
  if (template?.metadata?.codeBundleUri) return template.metadata.codeBundleUri;
  const args = template?.target.case === "container" ? template.target.value.args : [];
  return argument(args, "--tgz") ?? argument(args, "--pkl");
}

function argument(args: readonly string[], name: string): string | undefined {
  for (const [index, arg] of args.entries()) {
    const value = arg === name ? args[index + 1] : arg.startsWith(`${name}=`) ? arg.slice(name.length + 1) : undefined;
    if (value) return value;
  }
  return undefined;
}

/**
 * `flyte-ts copilot`: what a cluster's pods run around a container that knows nothing of Flyte. People have no use for it.
 */
import { UsageError, type Verb } from "../verb.ts";

export const verb: Verb = {
  name: "copilot",
  summary: "inside a pod: bring a raw container its inputs as files, and take its outputs",
  usage: "copilot download|upload [options]",
  options: {
    folder: { type: "string", value: "DIR", help: "where the files are" },
    results: { type: "string", value: "URI", help: "folder of outputs.pb and error.pb" },
    patience: { type: "string", value: "SECONDS", help: "how long the store may be away (default 600)" },
    inputs: { type: "string", value: "URI", help: "download: the inputs.pb" },
    "seen-as": { type: "string", value: "DIR", help: "download: the folder as the task sees it" },
    format: { type: "string", value: "FORMAT", help: "download: JSON, YAML or PROTO for all inputs together" },
    layout: { type: "string", value: "LAYOUT", help: "download: DIRECT or NAMED_DIR" },
    outputs: { type: "string", value: "BASE64", help: "upload: the task's outputs, a VariableMap" },
    "raw-data": { type: "string", value: "URI", help: "upload: folder of files and folders" },
    "exit-file": { type: "string", value: "FILE", help: "upload: where the task's exit code will be" },
  },
  positionals: 1,
  async run({ positionals: [what], flags }, io) {
    if (what !== "download" && what !== "upload") throw new UsageError("say download or upload");
    const { runCopilot } = await import("@flyte-ts/flyted/copilot");
    return runCopilot({ verb: what, flags, ...io });
  },
};

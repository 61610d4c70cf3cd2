/**
 * The command lines of the two containers around a task that knows nothing of Flyte, written by the pod plugin and read
 * by the program. Nothing in them is secret: keys of the store come in variables.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type VariableMap, VariableMapSchema } from "@flyte-ts/contract/flyteidl2/core/interface_pb.ts";
import {
  type DataLoadingConfig,
  DataLoadingConfig_FileInputLayout,
  DataLoadingConfig_LiteralMapFormat,
} from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";

interface Common {
  /** Folder of outputs.pb and error.pb. */
  attemptUri: string;
  /** How long trouble of the store may last without any success in between. */
  patienceSeconds: number;
}

export interface DownloadJob extends Common {
  /** The inputs.pb; empty when there are none. */
  inputUri: string;
  folder: string;
  /** The folder as the task sees it. */
  seenAs: string;
  config: Pick<DataLoadingConfig, "format" | "fileInputLayout">;
}

export interface UploadJob extends Common {
  folder: string;
  outputs: VariableMap;
  rawDataPrefix: string;
  /** Where the task's exit code will be. */
  exitFile: string;
}

/** Options of the command line, by name. */
export type CopilotFlags = Readonly<Record<string, string | boolean | undefined>>;

/** A command line that the program cannot work by. */
export class CopilotUsageError extends Error {
  override readonly name = "CopilotUsageError";
}

export function downloadArgs({ inputUri, folder, seenAs, config, attemptUri, patienceSeconds }: DownloadJob): string[] {
  const flags = {
    inputs: inputUri,
    folder,
    "seen-as": seenAs,
    format: nameIn(DataLoadingConfig_LiteralMapFormat, config.format) ?? "JSON",
    layout: nameIn(DataLoadingConfig_FileInputLayout, config.fileInputLayout) ?? "DIRECT",
    results: attemptUri,
    patience: String(patienceSeconds),
  };
  return ["copilot", "download", ...written(flags)];
}

export function uploadArgs(job: UploadJob): string[] {
  const flags = {
    folder: job.folder,
    outputs: Buffer.from(toBinary(VariableMapSchema, job.outputs)).toString("base64"),
    "raw-data": job.rawDataPrefix,
    results: job.attemptUri,
    "exit-file": job.exitFile,
    patience: String(job.patienceSeconds),
  };
  return ["copilot", "upload", ...written(flags)];
}

export function downloadJob(flags: CopilotFlags): DownloadJob {
  const folder = needed(flags, "folder");
  return {
    inputUri: optional(flags, "inputs") ?? "",
    folder,
    seenAs: optional(flags, "seen-as") ?? folder,
    config: {
      format: oneOf(DataLoadingConfig_LiteralMapFormat, flags, "format"),
      fileInputLayout: oneOf(DataLoadingConfig_FileInputLayout, flags, "layout"),
    },
    attemptUri: needed(flags, "results"),
    patienceSeconds: seconds(flags),
  };
}

export function uploadJob(flags: CopilotFlags): UploadJob {
  const outputs = needed(flags, "outputs");
  try {
    return {
      folder: needed(flags, "folder"),
      outputs: fromBinary(VariableMapSchema, Buffer.from(outputs, "base64")),
      rawDataPrefix: needed(flags, "raw-data"),
      attemptUri: needed(flags, "results"),
      exitFile: needed(flags, "exit-file"),
      patienceSeconds: seconds(flags),
    };
  } catch (error) {
    if (error instanceof CopilotUsageError) throw error;
    throw new CopilotUsageError("--outputs is no VariableMap in base64", { cause: error });
  }
}

function written(flags: Readonly<Record<string, string>>): string[] {
  // As one word each, so that no value is taken for an option.
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}

function optional(flags: CopilotFlags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function needed(flags: CopilotFlags, name: string): string {
  const value = optional(flags, name);
  if (value === undefined) throw new CopilotUsageError(`--${name} is missing`);
  return value;
}

function seconds(flags: CopilotFlags): number {
  const text = optional(flags, "patience") ?? "600";
  if (!/^\d{1,7}$/.test(text)) throw new CopilotUsageError(`--patience must be a number of seconds, not ${text}`);
  return Number(text);
}

function nameIn(names: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.keys(names).find((name) => names[name] === value);
}

function oneOf<T extends number>(names: Readonly<Record<string, T>>, flags: CopilotFlags, flag: string): T {
  const name = optional(flags, flag) ?? Object.keys(names)[0] ?? "";
  const value = names[name];
  if (value === undefined) {
    throw new CopilotUsageError(`--${flag} must be one of ${Object.keys(names).join(", ")}, not ${name}`);
  }
  return value;
}

/** Makes everything ready for an attempt's process (inputs, folder, code) and starts it. */
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { access, mkdir, stat } from "node:fs/promises";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { type Inputs, InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { StagingError, stageInputs } from "../../copilot/index.ts";
import type { AttemptContext, AttemptError } from "../../executor/index.ts";
import { dataConfig, environment, templateValues, usesInputs, usesPlaceholder } from "../../task-code/index.ts";
import { type AttemptFolder, removeFolder, writeLaunch } from "./attempt-folder.ts";
import { baseEnvironment, commandLine, commandSpec } from "./build.ts";
import { bundleCache } from "./bundles.ts";
import { start } from "./launch.ts";
import type { ProcessOptions } from "./options.ts";
import { bootId, oomKills } from "./process-table.ts";
import { relocate, stagingOf } from "./staging.ts";

/** Started, or why this attempt can never be. Trouble that may pass is thrown. */
export type Begun = { child: ChildProcess; startedAtMs: number } | { error: Omit<AttemptError, "recoverable"> };

const MAX_INPUT_BYTES = 64 << 20;

export function launcher(options: ProcessOptions) {
  const { objectStore, log } = options;
  const bundles = bundleCache({ folder: join(options.dataDir, "bundles"), objectStore });
  const home = join(options.dataDir, "home");
  const base = baseEnvironment({
    binFolder: options.python ? dirname(resolve(options.python)) : undefined,
    home,
    attempts: join(options.dataDir, "attempts"),
  });

  async function inputsFor(context: AttemptContext, args: readonly string[]): Promise<Inputs | undefined> {
    const wanted = usesInputs(args) || dataConfig(context.task.taskTemplate) !== undefined;
    if (!wanted || context.places.inputUri === "") return undefined;
    return fromBinary(InputsSchema, await objectStore.get(context.places.inputUri, { maxBytes: MAX_INPUT_BYTES }));
  }

  return async function launch(context: AttemptContext, folder: AttemptFolder): Promise<Begun> {
    const { lease, places } = context;
    const template = context.task.taskTemplate;
    const spec = commandSpec(template);
    if (!spec) {
      return bad(
        "BadTaskSpecification",
        `the task of type "${lease.taskType}" has no command line this machine could run`,
      );
    }
    const inputs = await inputsFor(context, spec.command);
    const values = templateValues(lease, places);
    let argv: string[];
    try {
      argv = commandLine(spec, values, inputs);
    } catch (error) {
      return bad("BadTaskSpecification", (error as Error).message);
    }
    if (template && usesPlaceholder(spec.command, "taskTemplatePath")) {
      await objectStore.put(values.taskTemplatePath, toBinary(TaskTemplateSchema, template));
    }

    const token = randomUUID();
    const env: Record<string, string> = {
      ...environment({ lease, template, base, task: spec.env, server: options.taskEnvironment() }),
      FLYTE_TS_ATTEMPT: token,
    };
    // What a start that never came to run has left.
    await removeFolder(folder.path);
    const startedAtMs = context.now.getTime();
    await mkdir(home, { recursive: true });
    await mkdir(folder.work, { recursive: true });
    const config = dataConfig(template);
    if (config) {
      const staging = stagingOf(folder.path);
      argv = relocate(argv, config, staging);
      try {
        await stageInputs({ store: objectStore, inputs, config, folder: staging.inputs });
        await mkdir(staging.outputs, { recursive: true });
      } catch (error) {
        if (error instanceof StagingError) return bad(error.code, error.message);
        throw error;
      }
    }
    const missing = await missingProgram(argv[0] ?? "", env.PATH ?? "", folder.work);
    if (missing) return programError(missing, options.python);
    try {
      await bundles.place(argv, folder.work);
    } catch (error) {
      log.warn(
        { attempt: context.key, err: error },
        "a code bundle could not be unpacked ahead; the task fetches it itself",
      );
    }
    await writeLaunch(folder, {
      key: context.key,
      token,
      startedAtMs,
      bootId: await bootId(),
      oomKills: await oomKills(),
      attemptUri: places.attemptUri,
    });
    try {
      return { child: await start({ folder, argv, env }), startedAtMs };
    } catch (error) {
      await removeFolder(folder.path);
      if ((error as NodeJS.ErrnoException).code === "E2BIG") {
        return bad(
          "BadTaskSpecification",
          "command line and environment are larger than this system allows: pass large values as inputs",
        );
      }
      throw error;
    }
  };
}

function bad(code: string, message: string): Begun {
  return { error: { code, message, kind: "user" } };
}

/** The program when it cannot be found or not be executed. */
async function missingProgram(program: string, path: string, work: string): Promise<string | undefined> {
  const candidates = program.includes("/")
    ? [isAbsolute(program) ? program : join(work, program)]
    : path.split(delimiter).map((folder) => join(folder, program));
  // A relative program may come with the code bundle, later.
  if (program.includes("/") && !isAbsolute(program)) return undefined;
  for (const candidate of candidates) if (await isProgram(candidate)) return undefined;
  return program;
}

async function isProgram(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

function programError(program: string, python: string | undefined): Begun {
  if (program !== "a0") {
    return bad(
      "CommandNotFound",
      `the task's program ${JSON.stringify(program)} is not on this machine: install it, or send the task to a cluster that has its image`,
    );
  }
  const where = python ? `beside ${python}` : "on the PATH";
  const message = `the Python SDK's entry point a0 is not ${where}: install flyte into that Python, or start the server with another one`;
  return { error: { code: "PythonNotFound", message, kind: "system" } };
}

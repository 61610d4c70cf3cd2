/**
 * Where a task that knows nothing of Flyte (`data_config`, the SDK's ContainerTask) finds its inputs and leaves its outputs
 * on this machine. Containers have `/var/inputs` and `/var/outputs` for themselves; here every attempt has folders of its
 * own, and its command line is made to name them.
 */
import { join } from "node:path";
import type { DataLoadingConfig } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";

/** The attempt's own folders in place of the container's. */
export interface Staging {
  inputs: string;
  outputs: string;
}

export function stagingOf(attemptFolder: string): Staging {
  return { inputs: join(attemptFolder, "inputs"), outputs: join(attemptFolder, "outputs") };
}

/** The command line with the container's folders replaced wherever they stand as a path. */
export function relocate(argv: readonly string[], config: DataLoadingConfig, staging: Staging): string[] {
  const moves = [
    [config.inputPath, staging.inputs],
    [config.outputPath, staging.outputs],
  ] as const;
  return argv.map((arg) => {
    let text = arg;
    for (const [from, to] of moves) {
      if (from === "") continue;
      const path = from.replace(/\/+$/, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      text = text.replace(new RegExp(`(?<![\\w/.-])${path}(?![\\w.-])`, "g"), () => to);
    }
    return text;
  });
}

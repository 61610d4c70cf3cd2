/** The Kubernetes data plane on the test cluster: each scenario has a server, an executor and a namespace of its own. */
import type { Benchmark, Figures, Scenario } from "../scenario.ts";
import { lifecycle } from "./lifecycle.ts";
import { livePods } from "./live-pods.ts";
import { podOverhead } from "./pod-overhead.ts";
import { type KubeStage, type KubeStageOptions, onKubeStage } from "./stage.ts";

interface Part extends Omit<Scenario, "run"> {
  stage: Omit<KubeStageOptions, "cpuProf">;
  /** Of actions or pods, unless told otherwise. */
  count: number;
  run(stage: KubeStage, count: number): Promise<Figures>;
}

const parts: Readonly<Record<string, Part>> = {
  lifecycle: {
    about: "one run, core-sleep(0) children through the whole life of their TaskAction objects",
    targets: { "actions/s": { atLeast: 60 }, "executor RSS MB growth": { atMost: 60 } },
    stage: { mode: "control-plane", slots: 1000 },
    count: 20_000,
    run: lifecycle,
  },
  "live-pods": {
    about: "pods played by kwok, held for 30 s while all of them run, then ended",
    targets: { "missed phases": { atMost: 0 }, "executor RSS MB peak": { atMost: 350 } },
    stage: { mode: "kwok", slots: 5000 },
    count: 2000,
    run: livePods,
  },
  "pod-overhead": {
    about: "real pods, one at a time, in turns with the same pod created without flyte-ts",
    targets: { "added ms p50": { atMost: 150 } },
    stage: { mode: "node", slots: 1000 },
    count: 40,
    run: podOverhead,
  },
};

export function kubeBenchmark(options: { count?: string | undefined; cpuProf?: string | undefined }): Benchmark {
  const { cpuProf } = options;
  const scenarios = Object.entries(parts).map(([name, part]) => {
    const count = Number(options.count ?? part.count);
    if (!Number.isInteger(count) || count < 1) throw new Error(`--count is a number from 1 on, not ${options.count}`);
    const run = () =>
      onKubeStage({ ...part.stage, cpuProf }, async (stage) => ({
        settings: stage.settings,
        figures: await part.run(stage, count),
      }));
    return [name, { about: part.about, targets: part.targets, run }] as const;
  });
  return { scenarios: Object.fromEntries(scenarios), close: async () => {} };
}

/** The operators that are known, each a room of its own beside this file. */
import { daskKind } from "./dask/plugin.ts";
import { jobSetKind } from "./jobset/plugin.ts";
import type { JobKind } from "./kind.ts";
import { mpiKind, pyTorchKind, tensorFlowKind } from "./kubeflow/plugin.ts";
import { rayKind } from "./ray/plugin.ts";
import { sparkKind } from "./spark/plugin.ts";

export const jobKinds: readonly JobKind[] = [
  jobSetKind,
  rayKind,
  sparkKind,
  daskKind,
  pyTorchKind,
  tensorFlowKind,
  mpiKind,
];

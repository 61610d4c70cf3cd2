/** Runs as a server tells of them, in few plain words. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Action, ActionDetails } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { isTerminal, phaseName } from "@flyte-ts/core";
import { plainValue } from "./values.ts";
import { waitFor } from "./wait.ts";
import { actionId, runId, type Wire } from "./wire.ts";

export interface ActionRow {
  name: string;
  parent: string;
  kind: "task" | "trace" | "condition";
  /** Full name of the task, or the name of the trace or condition. */
  task: string;
  shortName: string;
  group: string;
  phase: string;
  ended: boolean;
  attempts: number;
  cacheStatus: number;
  startMs: number;
  endMs: number | undefined;
}

/** All actions of a run, the root first. */
export async function actionsOf(wire: Wire, run: string): Promise<ActionRow[]> {
  const rows: ActionRow[] = [];
  for (let token = ""; ; ) {
    const page = await wire.runs.listActions({ runId: runId(run), request: { limit: 200, token } });
    rows.push(...page.actions.map(rowOf));
    token = page.token;
    if (!token) break;
  }
  return rows.sort((a, b) => Number(b.name === "a0") - Number(a.name === "a0") || a.startMs - b.startMs);
}

export async function childrenOf(wire: Wire, run: string): Promise<ActionRow[]> {
  return (await actionsOf(wire, run)).filter(({ name }) => name !== "a0");
}

export async function detailsOf(wire: Wire, run: string, action = "a0"): Promise<ActionDetails> {
  const { details } = await wire.runs.getActionDetails({ actionId: actionId(run, action) });
  if (!details) throw new Error(`${run}/${action} has no details`);
  return details;
}

export async function phaseOf(wire: Wire, run: string, action = "a0"): Promise<string> {
  return phaseName((await detailsOf(wire, run, action)).status?.phase ?? 0);
}

/** The phase a run ended in. All its actions must have ended with it. */
export async function ended(wire: Wire, run: string, deadlineMs = 180_000): Promise<string> {
  const details = await waitFor(
    async () => {
      const found = await detailsOf(wire, run);
      return isTerminal(found.status?.phase ?? 0) ? found : undefined;
    },
    { what: `the end of run ${run}`, deadlineMs, explain: () => describe(wire, run) },
  );
  const open = (await actionsOf(wire, run)).filter((row) => !row.ended);
  if (open.length > 0) throw new Error(`run ${run} has ended, but not ${open.map((row) => row.name).join(", ")}`);
  return phaseName(details.status?.phase ?? 0);
}

/** Outputs in order, as plain values. Throws with the run's error when it did not succeed. */
export async function outputsOf(wire: Wire, run: string, action = "a0"): Promise<unknown[]> {
  const phase = action === "a0" ? await ended(wire, run) : await phaseOf(wire, run, action);
  if (phase !== "SUCCEEDED") {
    throw new Error(`${run}/${action} is ${phase}: ${JSON.stringify(await errorOf(wire, run, action))}`);
  }
  const { outputs } = await wire.data.getActionData({ actionId: actionId(run, action) });
  return (outputs?.literals ?? []).map(({ value }) => plainValue(value));
}

export interface RunError {
  code: string;
  message: string;
  kind: "USER" | "SYSTEM" | "UNSPECIFIED";
}

export async function errorOf(wire: Wire, run: string, action = "a0"): Promise<RunError | undefined> {
  const { result } = await detailsOf(wire, run, action);
  if (result.case !== "errorInfo") return undefined;
  const { code, message, kind } = result.value;
  return { code, message, kind: kind === 1 ? "USER" : kind === 2 ? "SYSTEM" : "UNSPECIFIED" };
}

/** All lines of one attempt; follows it while it runs. */
export async function logOf(wire: Wire, run: string, action = "a0", attempt = 1): Promise<string[]> {
  const lines: string[] = [];
  for await (const { logs } of wire.data.tailLogs({ actionId: actionId(run, action), attempt })) {
    for (const log of logs) lines.push(...log.lines.map(({ message }) => message.replace(/\n$/, "")));
  }
  return lines;
}

/** One line an action, for a message about a run that went wrong. */
async function describe(wire: Wire, run: string): Promise<string> {
  const rows = await actionsOf(wire, run).catch(() => []);
  return rows.map((row) => `  ${row.name} ${row.task} ${row.phase} (${row.attempts} attempts)`).join("\n");
}

export function rowOf({ id, metadata, status }: Action): ActionRow {
  const spec = metadata?.spec;
  const kind = spec?.case === "trace" || spec?.case === "condition" ? spec.case : "task";
  const phase = status?.phase ?? 0;
  return {
    name: id?.name ?? "",
    parent: metadata?.parent ?? "",
    kind,
    task: spec?.case === "task" ? (spec.value.id?.name ?? "") : (spec?.value?.name ?? ""),
    shortName: spec?.case === "task" ? spec.value.shortName : "",
    group: metadata?.group ?? "",
    phase: phaseName(phase),
    ended: isTerminal(phase),
    attempts: status?.attempts ?? 0,
    cacheStatus: status?.cacheStatus ?? 0,
    startMs: status?.startTime ? timestampMs(status.startTime) : 0,
    endMs: status?.endTime ? timestampMs(status.endTime) : undefined,
  };
}

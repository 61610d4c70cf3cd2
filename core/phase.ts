/**
 * The phases of an action and the moves between them. Only state-service applies a move; everybody else asks here.
 *
 * A retry is the one way back: an attempt that failed puts its action into QUEUED again. Terminal phases are final.
 */
import { ActionPhase } from "@flyte-ts/contract/flyteidl2/common/phase_pb.ts";

export { ActionPhase };

const terminal: ReadonlySet<number> = new Set([
  ActionPhase.SUCCEEDED,
  ActionPhase.FAILED,
  ActionPhase.ABORTED,
  ActionPhase.TIMED_OUT,
  ActionPhase.RECOVERED,
]);

const endings = [...terminal];
const moves: ReadonlyMap<number, ReadonlySet<number>> = new Map([
  [
    ActionPhase.QUEUED,
    new Set([
      ActionPhase.WAITING_FOR_RESOURCES,
      ActionPhase.INITIALIZING,
      ActionPhase.RUNNING,
      ActionPhase.PAUSED,
      ...endings,
    ]),
  ],
  [
    ActionPhase.WAITING_FOR_RESOURCES,
    new Set([ActionPhase.QUEUED, ActionPhase.INITIALIZING, ActionPhase.RUNNING, ...endings]),
  ],
  [
    ActionPhase.INITIALIZING,
    new Set([ActionPhase.QUEUED, ActionPhase.WAITING_FOR_RESOURCES, ActionPhase.RUNNING, ...endings]),
  ],
  [ActionPhase.RUNNING, new Set([ActionPhase.QUEUED, ...endings])],
  [ActionPhase.PAUSED, new Set(endings)],
]);

/** True for phases that no action leaves. */
export function isTerminal(phase: number): boolean {
  return terminal.has(phase);
}

/** True when an action in `from` may be put into `to`. Staying where it is counts as no move. */
export function isLegalMove(from: number, to: number): boolean {
  return moves.get(from)?.has(to) ?? false;
}

/** `SUCCEEDED` for 5; the number itself for one that this version does not know. */
export function phaseName(phase: number): string {
  return Object.entries(ActionPhase).find(([, value]) => value === phase)?.[0] ?? String(phase);
}

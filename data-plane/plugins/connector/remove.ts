/**
 * Ends an attempt's resource: DeleteTask until it is done. A connector that never takes it is given up after a while, so
 * that no lease is held for ever; then a warning names what is left behind.
 */
import type { AttemptContext, Log, Step } from "../../executor/index.ts";
import type { Connector } from "./directory.ts";
import { type Life, pauseAfter } from "./life.ts";
import type { Outcome } from "./outcome.ts";
import { warning } from "./phase.ts";
import type { Remote } from "./remote.ts";

export interface RemoverOptions {
  remote: Pick<Remote, "delete">;
  log: Log;
  connectorOf(context: AttemptContext, life: Life): Connector | undefined;
  lookMs: number;
}

/** For a connector that is not configured any more: a restart with another configuration may bring it back. */
const NOBODY = { deleteGiveUpMs: 600_000, awayFirstMs: 1_000, awayMaxMs: 30_000 };

export function remover(options: RemoverOptions): (context: AttemptContext, life: Life) => Omit<Step, "transitions"> {
  const { log, lookMs } = options;

  function leave(context: AttemptContext, life: Life, why: string): Step {
    life.left = true;
    const { endpoint = "" } = life.note ?? {};
    const message = `a resource may be left behind at the connector ${endpoint}: ${why}; its name is in ${context.places.attemptUri}/connector.json`;
    log.error({ attempt: context.key, endpoint, trouble: why }, "a connector's resource may be left behind");
    return { released: true, details: { clusterEvents: [warning(context.now, "ResourceLeftBehind", message)] } };
  }

  return (context, life) => {
    const nowMs = context.now.getTime();
    const outcome: Outcome | undefined = life.connector?.calls.take(context.key);
    if (outcome?.kind === "created") life.note = outcome.note;
    if (outcome?.kind === "deleted") return { released: true };
    if (!life.note) {
      // A call that runs is waited for: it may bring a resource.
      const runs = life.connector?.calls.isBusy(context.key) && !life.connector.calls.withdraw(context.key);
      return runs ? { after: lookMs } : { released: true };
    }
    const { meta } = life.note;
    if (!meta) return leave(context, life, "nobody knows whether it was created");

    const connector = options.connectorOf(context, life);
    const config = connector?.config ?? NOBODY;
    life.endingSince ??= nowMs;
    if (outcome && life.job === "delete") life.lastWords = said(outcome);
    const left = life.endingSince + config.deleteGiveUpMs - nowMs;
    if (left <= 0) {
      connector?.calls.withdraw(context.key);
      return leave(context, life, life.lastWords ?? connector?.calls.away ?? "it could not be deleted in time");
    }
    // What has been said of looking at it says nothing of deleting it.
    if (life.job !== "delete") {
      life.failures = 0;
      life.nextAt = 0;
      connector?.calls.withdraw(context.key);
    } else if (outcome) {
      life.nextAt = nowMs + pauseAfter(life, config);
    }
    const step = outcome && life.job === "delete" ? told(context, life, outcome) : {};
    if (!connector) return { ...step, after: Math.min(left, lookMs) };
    if (connector.calls.isBusy(context.key)) return { ...step, after: Math.min(left, lookMs) };
    if (life.nextAt > nowMs) return { ...step, after: Math.min(left, life.nextAt - nowMs) };
    life.job = "delete";
    const note = { ...life.note, meta };
    connector.calls.start(context.key, () => options.remote.delete(context, connector, note), context.wake);
    return { ...step, after: Math.min(left, lookMs) };
  };

  function told(context: AttemptContext, life: Life, outcome: Outcome): Step {
    const message = said(outcome);
    if (message === undefined || !("reason" in outcome) || life.toldTrouble === outcome.reason) return {};
    life.toldTrouble = outcome.reason;
    log.warn({ attempt: context.key, reason: outcome.reason, trouble: message }, "a resource cannot be deleted yet");
    return { details: { clusterEvents: [warning(context.now, outcome.reason, message)] } };
  }
}

function said(outcome: Outcome | undefined): string | undefined {
  return outcome && "message" in outcome ? outcome.message : undefined;
}

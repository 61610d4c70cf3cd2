/** What a connector says of its resource, as phases, errors and news of the attempt. Pure. */
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Resource } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { TaskExecution_Phase as Phase } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import {
  type ClusterEvent,
  ClusterEvent_Type,
  ClusterEventSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import type { AttemptError, Transition } from "../../executor/index.ts";
import { endByResults, type Results } from "../../task-code/index.ts";

/** A phase before the end. */
export type Underway = "waitingForResources" | "initializing" | "running";

const UNDERWAY: Partial<Record<Phase, Underway>> = {
  [Phase.QUEUED]: "waitingForResources",
  [Phase.WAITING_FOR_RESOURCES]: "waitingForResources",
  [Phase.INITIALIZING]: "initializing",
  [Phase.RUNNING]: "running",
};

const ENDED: ReadonlySet<Phase> = new Set([Phase.SUCCEEDED, Phase.ABORTED, Phase.FAILED, Phase.RETRYABLE_FAILED]);

/** Undefined when the connector says nothing that has a meaning. */
export function underwayOf({ phase }: Resource): Underway | undefined {
  return UNDERWAY[phase];
}

export function hasEnded({ phase }: Resource): boolean {
  return ENDED.has(phase);
}

const ORDER: readonly Underway[] = ["waitingForResources", "initializing", "running"];

/** The phase to tell; none when it was told already, or when a resource went back. */
export function advance(told: Underway | undefined, now: Underway, at: Date): Transition[] {
  if (told !== undefined && ORDER.indexOf(now) <= ORDER.indexOf(told)) return [];
  return [{ phase: now, at }];
}

export interface EndParts {
  resource: Resource;
  results: Results;
  declaresOutputs: boolean;
  attemptUri: string;
  at: Date;
}

/** The end of an attempt whose resource has ended. An error document that its code wrote says more than the connector. */
export function endOf({ resource, results, declaresOutputs, attemptUri, at }: EndParts): Transition {
  const success = resource.phase === Phase.SUCCEEDED;
  const end =
    success || results.error
      ? endByResults({ ...results, at, exitedZero: success, declaresOutputs, attemptUri })
      : undefined;
  if (end) return end;
  if (success) {
    const message = `the connector says that its resource succeeded, but gave no outputs and none are in ${attemptUri}`;
    return { phase: "failed", at, error: { code: "OutputsMissing", message, kind: "user", recoverable: true } };
  }
  return { phase: "failed", at, error: errorOf(resource) };
}

function errorOf({ phase, message }: Resource): AttemptError {
  const said = message === "" ? "the connector gave no reason" : message;
  if (phase === Phase.ABORTED) {
    const text = `the resource was aborted on the connector's side: ${said}`;
    return { code: "ResourceAborted", message: text, kind: "user", recoverable: false };
  }
  return { code: "TaskFailedWithError", message: said, kind: "user", recoverable: phase === Phase.RETRYABLE_FAILED };
}

/**
 * Milliseconds until the next look: a tenth of how long nothing has changed, so that a change is seen late by a tenth at
 * most and a resource that runs for hours is not asked for every second.
 */
export function pollAfter(
  unchangedMs: number,
  { pollFirstMs, pollMaxMs }: { pollFirstMs: number; pollMaxMs: number },
): number {
  return Math.min(Math.max(unchangedMs / 10, pollFirstMs), Math.max(pollFirstMs, pollMaxMs));
}

/** Longest text of a connector that goes into an event. */
const MAX_TEXT = 4096;

/** What a connector says beside the phase, as events. */
export function eventsOf({ message, customInfo }: Resource, at: Date): ClusterEvent[] {
  const events: ClusterEvent[] = [];
  if (message !== "") events.push(event(at, ClusterEvent_Type.NORMAL, "ConnectorMessage", message));
  if (hasFields(customInfo)) events.push(event(at, ClusterEvent_Type.NORMAL, "CustomInfo", JSON.stringify(customInfo)));
  return events;
}

export function warning(at: Date, reason: string, message: string): ClusterEvent {
  return event(at, ClusterEvent_Type.WARNING, reason, message);
}

function event(at: Date, type: ClusterEvent_Type, reason: string, text: string): ClusterEvent {
  const message = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return create(ClusterEventSchema, {
    occurredAt: toTimestamp(at),
    message,
    type,
    reason,
    sourceComponent: "connector",
    count: 1,
  });
}

function hasFields(info: JsonObject | undefined): info is JsonObject {
  return info !== undefined && Object.keys(info).length > 0;
}

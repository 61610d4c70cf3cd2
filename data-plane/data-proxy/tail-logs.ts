/**
 * TailLogs: an attempt's output as a stream that follows it live.
 *
 * Promise: NOT_FOUND only while lines may still come (the client then asks again); an attempt that ended without a word
 * is an empty stream. The SDK asks five times within ten seconds, which is less than a program with many imports needs
 * for its first line in a pod, so it is waited for here. Messages stay small, the next lines are read when the client took the last ones, and a client that
 * goes away ends the reading.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  TailLogsRequest,
  TailLogsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import {
  type LogLine,
  LogLineOriginator,
  LogLineSchema,
} from "@flyte-ts/contract/flyteidl2/logs/dataplane/payload_pb.ts";
import { invalidArgument, notFound, toTimestamp } from "@flyte-ts/core";
import { pause } from "@flyte-ts/data-plane/executor";
import { type LogLine as LoggedLine, LogNotFoundError, type LogStore } from "@flyte-ts/data-plane/logs";
import { attemptOf } from "./attempts.ts";
import type { ActionDirectory, ActionRecord } from "./directory.ts";
import type { DataProxyLimits } from "./limits.ts";

export interface TailLogsDeps {
  directory: ActionDirectory;
  logs: Pick<LogStore, "tail">;
  limits: DataProxyLimits;
}

/** Very long lines come in pieces of tens of kilobytes, so the number of lines alone does not bound a message. */
const MAX_MESSAGE_CHARACTERS = 512 * 1024;
/** Between two looks for the first line. */
const LOOK_MS = 500;

export async function* tailLogs(
  { directory, logs, limits }: TailLogsDeps,
  { actionId, attempt: asked }: TailLogsRequest,
  signal: AbortSignal,
): AsyncIterable<MessageInitShape<typeof TailLogsResponseSchema>> {
  if (!actionId) throw invalidArgument("action_id is not set; name the action whose logs you want");
  let action = await directory.action(actionId);
  const attempt = attemptOf(action, asked, actionId.name);
  const attemptUri = action.attemptUri(attempt);
  const isOver = ({ terminal, attempts }: ActionRecord) => terminal || attempt < attempts;
  const over = async () => isOver(await directory.action(actionId));
  const untilMs = performance.now() + limits.firstLineMs;
  for (;;) {
    try {
      for await (const { lines } of logs.tail({ attemptUri, signal, over })) {
        for (const batch of batches(lines, limits.logLinesPerMessage))
          yield { logs: [{ lines: batch.map(toLogLine) }] };
      }
      return;
    } catch (error) {
      if (!(error instanceof LogNotFoundError)) throw error;
      // As it was before the look: its log would have been there.
      if (isOver(action)) return;
      if (signal.aborted || performance.now() >= untilMs) throw notFound(error.message, { cause: error });
    }
    await pause(LOOK_MS, signal);
    action = await directory.action(actionId);
  }
}

function* batches(lines: readonly LoggedLine[], most: number): Iterable<LoggedLine[]> {
  let batch: LoggedLine[] = [];
  let characters = 0;
  for (const line of lines) {
    if (batch.length === most || (batch.length > 0 && characters + line.message.length > MAX_MESSAGE_CHARACTERS)) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(line);
    characters += line.message.length;
  }
  if (batch.length > 0) yield batch;
}

function toLogLine({ message, timestamp, system }: LoggedLine): LogLine {
  const originator = system ? LogLineOriginator.SYSTEM : LogLineOriginator.USER;
  return create(LogLineSchema, { message, timestamp: toTimestamp(timestamp), originator });
}

/** Which attempt of an action a client means: 0 is the latest, others count from 1 and must have begun. */
import { notFound } from "@flyte-ts/core";
import type { ActionRecord } from "./directory.ts";

export function attemptOf(action: ActionRecord, asked: number, name: string): number {
  const attempt = asked === 0 ? action.attempts : asked;
  if (attempt >= 1 && attempt <= action.attempts) return attempt;
  throw notFound(
    action.attempts === 0
      ? `action ${name} has not begun its first attempt yet; try again when it runs`
      : `action ${name} has no attempt ${attempt}; it has ${action.attempts}`,
  );
}

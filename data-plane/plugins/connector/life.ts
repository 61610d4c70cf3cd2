/** What is remembered of an attempt: in memory for as long as the executor lives, and a little in the action store. */
import { createHash } from "node:crypto";
import type { Resource } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import type { AttemptContext, PluginState } from "../../executor/index.ts";
import type { Connector } from "./directory.ts";
import { type Note, type NoteStore, readNote } from "./note.ts";
import type { Underway } from "./phase.ts";

export interface Life {
  /** What the object store has, or will have when it is `saved`. */
  note: Note | undefined;
  saved: boolean;
  /** Whose calls are made for the attempt, and what the last one is for. */
  connector?: Connector;
  job?: "create" | "get" | "delete";
  /** When the connector last told another phase. */
  changedAt: number;
  /** No call before. */
  nextAt: number;
  /** Calls in a row that led nowhere. */
  failures: number;
  /** Since when the connector cannot say what became of the resource. */
  troubleSince?: number;
  /** The reason that was told of the present trouble. */
  toldTrouble?: string;
  /** Since when the resource is to be deleted. */
  endingSince?: number;
  /** Why it could not be deleted. */
  lastWords?: string | undefined;
  /** A resource may be left behind: the note stays for people. */
  left: boolean;
}

export interface Lives {
  /** Reads the note at the first look of this executor. */
  open(context: AttemptContext): Promise<Life>;
  close(key: string): Life | undefined;
}

export function lives(store: NoteStore): Lives {
  const known = new Map<string, Life>();
  return {
    async open({ key, places, now }) {
      let life = known.get(key);
      if (life) return life;
      const note = await readNote(store, places.attemptUri);
      const changedAt = (note?.createdAt ?? now).getTime();
      life = { note, saved: true, changedAt, nextAt: 0, failures: 0, left: false };
      known.set(key, life);
      return life;
    },
    close(key) {
      const life = known.get(key);
      known.delete(key);
      return life;
    },
  };
}

/** All is well. */
export function settle(life: Life): void {
  life.failures = 0;
  delete life.troubleSince;
  delete life.toldTrouble;
}

/** Until the next try after one that led nowhere. */
export function pauseAfter(life: Life, config: { awayFirstMs: number; awayMaxMs: number }): number {
  const pause = Math.min(config.awayFirstMs * 2 ** life.failures, config.awayMaxMs);
  life.failures += 1;
  return pause;
}

export interface State {
  told: Underway | undefined;
  /** Of what the connector last said beside the phase. */
  said: string;
  /** Its end is told; its resource is to be deleted. */
  ended: boolean;
}

export function readState({ state, startedAt }: Pick<AttemptContext, "state" | "startedAt">): State {
  const told = startedAt ? "running" : state?.told;
  return {
    told: told === "waitingForResources" || told === "initializing" || told === "running" ? told : undefined,
    said: typeof state?.said === "string" ? state.said : "",
    ended: state?.ended === true,
  };
}

export function writeState({ told, said, ended }: State): PluginState {
  return { ...(told ? { told } : {}), ...(said === "" ? {} : { said }), ...(ended ? { ended } : {}) };
}

/** Tells whether a connector says something new. */
export function digestOf({ message, customInfo, logLinks }: Resource): string {
  const links = logLinks.map(({ name, uri }) => [name, uri]);
  const text = JSON.stringify([message, customInfo ?? null, links]);
  return createHash("sha256").update(text).digest("base64url").slice(0, 16);
}

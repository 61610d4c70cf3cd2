/** What the plugin remembers of an attempt between its steps, also across restarts. Flat, as the action store takes it. */
import type { PluginState } from "../../executor/index.ts";
import type { Remembered } from "../pod/phase.ts";
import type { JobAddress } from "./jobs.ts";

export interface Note {
  /** Set once the job has been created. */
  job?: JobAddress & { uid: string };
  /** The last phase told before RUNNING. */
  told?: "waitingForResources" | "initializing";
  /** When the last phase was entered. */
  toldAt?: Date;
  trouble?: Remembered;
  /** See the pod plugin's events.ts. */
  events: string;
  /** A digest of the pods that were told, and when. */
  pods: string;
  podsAt: number;
  /** The pod whose log is followed; empty when none is. */
  speaker: string;
  /** Its log is stored. */
  logged: boolean;
  /** Its end is told; what is left is to be cleaned up. */
  ended: boolean;
}

export function readNote(state: PluginState | undefined): Note {
  const text = (field: string) => (typeof state?.[field] === "string" ? (state[field] as string) : "");
  const number = (field: string) => (typeof state?.[field] === "number" ? (state[field] as number) : undefined);
  const note: Note = {
    events: text("events"),
    pods: text("pods"),
    podsAt: number("podsAt") ?? 0,
    speaker: text("speaker"),
    logged: state?.logged === true,
    ended: state?.ended === true,
  };
  const name = text("job");
  if (name !== "") note.job = { name, namespace: text("namespace"), uid: text("uid"), secret: text("secret") };
  const told = text("told");
  if (told === "waitingForResources" || told === "initializing") note.told = told;
  const toldAt = number("toldAt");
  if (toldAt !== undefined) note.toldAt = new Date(toldAt);
  const sinceMs = number("troubleSince");
  if (sinceMs !== undefined) note.trouble = { kind: text("trouble"), sinceMs, said: text("troubleSaid") };
  return note;
}

export function writeNote(note: Note): PluginState {
  const { job, told, toldAt, trouble, events, pods, podsAt, speaker, logged, ended } = note;
  return {
    ...(job ? { job: job.name, namespace: job.namespace, uid: job.uid, secret: job.secret } : {}),
    ...(told ? { told } : {}),
    ...(toldAt ? { toldAt: toldAt.getTime() } : {}),
    ...(trouble ? { trouble: trouble.kind, troubleSince: trouble.sinceMs, troubleSaid: trouble.said } : {}),
    ...(events === "" ? {} : { events }),
    ...(pods === "" ? {} : { pods, podsAt }),
    ...(speaker === "" ? {} : { speaker }),
    ...(logged ? { logged } : {}),
    ...(ended ? { ended } : {}),
  };
}

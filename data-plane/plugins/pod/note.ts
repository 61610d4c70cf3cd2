/** What the plugin remembers of an attempt between its steps, also across restarts. Flat, as the action store takes it. */
import type { PluginState } from "../../executor/index.ts";
import type { Remembered } from "./phase.ts";
import type { PodAddress } from "./pods.ts";

export interface Note {
  /** Set once the pod has been created. */
  pod?: PodAddress & { uid: string; secret: boolean; primary: string };
  /** The last phase told before RUNNING. */
  told?: "waitingForResources" | "initializing";
  /** When the last phase was entered. */
  toldAt?: Date;
  trouble?: Remembered;
  /** See events.ts. */
  events: string;
  /** Its end is told; what is left is to be cleaned up. */
  ended: boolean;
}

export function readNote(state: PluginState | undefined): Note {
  const text = (field: string) => (typeof state?.[field] === "string" ? (state[field] as string) : "");
  const number = (field: string) => (typeof state?.[field] === "number" ? (state[field] as number) : undefined);
  const note: Note = { events: text("events"), ended: state?.ended === true };
  const name = text("pod");
  if (name !== "") {
    const [namespace, uid, primary] = [text("namespace"), text("uid"), text("primary")];
    note.pod = { name, namespace, uid, primary, secret: state?.secret === true };
  }
  const told = text("told");
  if (told === "waitingForResources" || told === "initializing") note.told = told;
  const toldAt = number("toldAt");
  if (toldAt !== undefined) note.toldAt = new Date(toldAt);
  const sinceMs = number("troubleSince");
  if (sinceMs !== undefined) note.trouble = { kind: text("trouble"), sinceMs, said: text("troubleSaid") };
  return note;
}

export function writeNote({ pod, told, toldAt, trouble, events, ended }: Note): PluginState {
  return {
    ...(pod ? { pod: pod.name, namespace: pod.namespace, uid: pod.uid, primary: pod.primary, secret: pod.secret } : {}),
    ...(told ? { told } : {}),
    ...(toldAt ? { toldAt: toldAt.getTime() } : {}),
    ...(trouble ? { trouble: trouble.kind, troubleSince: trouble.sinceMs, troubleSaid: trouble.said } : {}),
    ...(events === "" ? {} : { events }),
    ...(ended ? { ended } : {}),
  };
}

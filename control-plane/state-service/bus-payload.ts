/** What a notification says: `replica|hint|run:name,name|run!name…`. `:` names rows that changed, `!` new reports. Pure. */
import type { ActionKey } from "./store.ts";

/** What a commit did to the queue, as far as those who serve clusters must look again. */
export interface QueueHint {
  /** Pending rows, or slots that became free. */
  work: boolean;
  /** Retries that become pending later. */
  retries: boolean;
  /** Leases whose actions are over: their clusters must be told. */
  endings: boolean;
  /** Clusters, or classes of actions, that are new or changed: who may take what must be decided anew. */
  routes: boolean;
}

export const noHint: QueueHint = { work: false, retries: false, endings: false, routes: false };
export const fullHint: QueueHint = { work: true, retries: true, endings: true, routes: true };

export interface Notification {
  replica: string;
  hint: QueueHint;
  changed: readonly ActionKey[];
  /** Actions whose reports told something new without moving them. */
  reported: readonly ActionKey[];
}

/** PostgreSQL takes payloads below 8,000 bytes. */
const MAX_PAYLOAD = 7900;

/** As many payloads as needed; each one can be read alone. */
export function encodePayloads({ replica, hint, changed, reported }: Notification): string[] {
  const letters = `${hint.work ? "w" : ""}${hint.retries ? "r" : ""}${hint.endings ? "e" : ""}${hint.routes ? "c" : ""}`;
  const head = `${replica}|${letters}`;
  const payloads: string[] = [];
  let payload = head;
  const add = (keys: readonly ActionKey[], mark: string) => {
    let run: bigint | undefined;
    for (const key of keys) {
      // Clients choose names: the separators, and what has more bytes than characters, must not get through.
      const name = encodeURIComponent(key.name);
      const group = `|${key.runId}${mark}${name}`;
      const piece = key.runId === run ? `,${name}` : group;
      if (payload.length + piece.length > MAX_PAYLOAD) {
        payloads.push(payload);
        payload = head + group;
      } else payload += piece;
      run = key.runId;
    }
  };
  add(changed, ":");
  add(reported, "!");
  payloads.push(payload);
  return payloads;
}

export function decodePayload(payload: string): Notification {
  const [replica = "", letters = "", ...groups] = payload.split("|");
  const changed: ActionKey[] = [];
  const reported: ActionKey[] = [];
  for (const group of groups) {
    const [, run, mark, names] = /^(\d+)([:!])(.*)$/.exec(group) ?? [];
    if (!run || !names) continue;
    const keys = mark === ":" ? changed : reported;
    for (const name of names.split(",")) keys.push({ runId: BigInt(run), name: decodeURIComponent(name) });
  }
  const has = (letter: string) => letters.includes(letter);
  const hint = { work: has("w"), retries: has("r"), endings: has("e"), routes: has("c") };
  return { replica, hint, changed, reported };
}

/**
 * What must not be forgotten of an attempt: that a resource may exist, and by which words the connector knows it.
 *
 * CreateTask is not idempotent and the protocol cannot list resources, so a note goes into the attempt's folder before the
 * call and its answer afterwards. It is in the object store because it must outlive the executor whatever keeps its
 * records, and because resource_meta has no bound that an object of Kubernetes could hold.
 */
import { ObjectExistsError, ObjectNotFoundError, type ObjectStore } from "@flyte-ts/platform/object-store";
import { z } from "zod";

const resource = z.object({
  endpoint: z.string(),
  taskType: z.string(),
  version: z.int(),
  /** Epoch milliseconds. */
  createdAt: z.int(),
  /** base64 */
  meta: z.string().optional(),
});

/** A resource whose making was begun; `meta` is there when the connector has answered. */
export interface Note {
  endpoint: string;
  taskType: string;
  version: number;
  createdAt: Date;
  meta?: Uint8Array;
}

export type NoteStore = Pick<ObjectStore, "get" | "put" | "delete">;

const MAX_NOTE_BYTES = 4 << 20;

/** False when there is a note already: an earlier life of the executor got this far. */
export async function writeFirst(store: NoteStore, attemptUri: string, note: Note): Promise<boolean> {
  try {
    await store.put(noteUri(attemptUri), encode(note), { contentType: "application/json", ifAbsent: true });
    return true;
  } catch (error) {
    if (error instanceof ObjectExistsError) return false;
    throw error;
  }
}

export async function rewrite(store: NoteStore, attemptUri: string, note: Note): Promise<void> {
  await store.put(noteUri(attemptUri), encode(note), { contentType: "application/json" });
}

export async function readNote(store: NoteStore, attemptUri: string): Promise<Note | undefined> {
  const uri = noteUri(attemptUri);
  let bytes: Uint8Array;
  try {
    bytes = await store.get(uri, { maxBytes: MAX_NOTE_BYTES });
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return undefined;
    throw error;
  }
  const { meta, createdAt, ...rest } = parse(uri, bytes);
  return {
    ...rest,
    createdAt: new Date(createdAt),
    ...(meta === undefined ? {} : { meta: Buffer.from(meta, "base64") }),
  };
}

export async function removeNote(store: NoteStore, attemptUri: string): Promise<void> {
  await store.delete([noteUri(attemptUri)]);
}

function noteUri(attemptUri: string): string {
  return `${attemptUri}/connector.json`;
}

function encode({ createdAt, meta, ...rest }: Note): Uint8Array {
  const value: z.infer<typeof resource> = {
    ...rest,
    createdAt: createdAt.getTime(),
    ...(meta ? { meta: Buffer.from(meta).toString("base64") } : {}),
  };
  return Buffer.from(JSON.stringify(value));
}

function parse(uri: string, bytes: Uint8Array): z.infer<typeof resource> {
  try {
    return resource.parse(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch (cause) {
    throw new Error(`the note about a connector's resource cannot be read: ${uri}; somebody else wrote there`, {
      cause,
    });
  }
}

/**
 * A list-watch whose every event is checked while it comes: an object is added once, modified while it is there, deleted
 * once, and `objects` never differs from what the events said.
 */
import assert from "node:assert/strict";
import { type ListWatch, type ListWatchOptions, listWatch } from "../list-watch.ts";
import type { KubeObject } from "../objects.ts";
import type { TestScope } from "../testing.ts";

interface Life<T> {
  /** The last that was told of it. */
  object: T;
  gone: boolean;
  /** Nobody saw it go. */
  missed: boolean;
}

export interface RecordedWatch<T> extends ListWatch<T> {
  readonly name: string;
  readonly lives: ReadonlyMap<string, Life<T>>;
  /** Rejects when an event contradicts an earlier one. */
  stop(): Promise<void>;
}

/** Runs from now until the test ends. */
export function recordedWatch<T extends KubeObject>(
  t: TestScope,
  name: string,
  options: Omit<ListWatchOptions<T>, "onEvent">,
): RecordedWatch<T> {
  const lives = new Map<string, Life<T>>();
  const stopped = new AbortController();
  const watch = listWatch<T>({
    ...options,
    onEvent(event) {
      if (event.type === "synced") return;
      const uid = event.object.metadata.uid as string;
      const life = lives.get(uid);
      const which = `${name}: ${event.object.metadata.name} ${uid}`;
      if (event.type === "added") {
        assert.equal(life, undefined, `${which} was added twice`);
        lives.set(uid, { object: event.object, gone: false, missed: false });
        return;
      }
      assert(life && !life.gone, `${which} was ${event.type} while it was not there`);
      life.object = event.object;
      if (event.type === "deleted") Object.assign(life, { gone: true, missed: event.missed });
    },
  });
  const running = watch.run(stopped.signal);
  running.catch(() => {});
  const stop = async () => {
    stopped.abort();
    await running;
  };
  t.after(stop);
  return { ...watch, name, lives, stop };
}

/** What differs from the truth; empty when the watch has everything right. */
export function differences<T extends KubeObject>(watch: RecordedWatch<T>, truth: readonly T[]): string[] {
  const found: string[] = [];
  const known = new Map([...watch.objects.values()].map((object) => [object.metadata.uid, object]));
  for (const { metadata } of truth) {
    const copy = known.get(metadata.uid);
    const told = watch.lives.get(metadata.uid as string);
    if (copy?.metadata.resourceVersion !== metadata.resourceVersion) found.push(`${metadata.name} is not up to date`);
    else if (told?.gone || told?.object !== copy) found.push(`${metadata.name} was not told`);
    known.delete(metadata.uid);
  }
  for (const object of known.values()) found.push(`${object.metadata.name} is still there`);
  const living = new Set(truth.map(({ metadata }) => metadata.uid));
  for (const [uid, life] of watch.lives) {
    if (!life.gone && !living.has(uid)) found.push(`the end of ${life.object.metadata.name} was not told`);
  }
  return found;
}

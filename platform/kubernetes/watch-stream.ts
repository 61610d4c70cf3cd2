/**
 * One watch from its opening to its end.
 *
 * Promise: events are handed over as they arrive and are never waited for, since the API server drops readers that lag
 * by more than a few events. Silence for longer than bookmarks allow is a dead connection and ends the watch.
 */
import { errorOfNetwork, errorOfStatus, type Target } from "./errors.ts";
import { jsonLines } from "./json-lines.ts";
import type { KubeObject, WatchEvent } from "./objects.ts";
import type { Resource, WatchOptions } from "./resource.ts";

export interface WatchOnceOptions<T extends KubeObject> {
  resource: Resource<T>;
  watch: WatchOptions & { signal: AbortSignal };
  stallMs: number;
  onEvent(event: Exclude<WatchEvent<T>, { type: "ERROR" }>): void;
}

export type WatchEnd = "ended" | "stalled";

/** Throws a KubernetesError when the server refuses, ends it with an error, or the connection breaks. */
export async function watchOnce<T extends KubeObject>(options: WatchOnceOptions<T>): Promise<WatchEnd> {
  const { resource, watch, stallMs, onEvent } = options;
  const { plural, group } = resource.definition;
  const target: Target = {
    verb: "watch",
    resource: plural,
    group,
    ...(watch.namespace ? { namespace: watch.namespace } : {}),
  };
  const stream = await resource.watch(watch);
  const lines = jsonLines();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(() => resolve("stalled")), stallMs);

    function end(settle: () => void): void {
      clearTimeout(timer);
      stream.destroy();
      settle();
    }

    function parsed(chunk: Buffer): unknown[] {
      try {
        return lines.push(chunk);
      } catch (error) {
        throw errorOfNetwork(target, "the API server", error);
      }
    }

    stream.on("data", (chunk: Buffer) => {
      if (stream.destroyed) return;
      timer.refresh();
      try {
        for (const value of parsed(chunk)) {
          const event = value as WatchEvent<T>;
          if (event.type === "ERROR") throw errorOfStatus(target, event.object);
          onEvent(event);
        }
      } catch (error) {
        end(() => reject(error));
      }
    });
    stream.once("end", () => end(() => resolve("ended")));
    stream.once("error", (error) => end(() => reject(errorOfNetwork(target, "the API server", error))));
    stream.once("close", () => end(() => resolve("ended")));
  });
}

/** One reading of a container's log: to its end as it is now, or followed. */
import type { IncomingMessage } from "node:http";
import type { KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { type KubeLine, kubeLines, type LogMark, sinceOf } from "./log-lines.ts";
import type { PodAddress } from "./pods.ts";

export interface ContainerLogOptions {
  client: Pick<KubernetesClient, "stream">;
  pod: PodAddress;
  container: string;
  /** Of the container's life before this one. */
  previous?: boolean;
  follow: boolean;
  /** Go on behind this line. */
  from?: LogMark | undefined;
  /** The container has ended: what has no newline is its last line. */
  whole: boolean;
  signal: AbortSignal;
  /** Until the first byte, and between bytes of a log that is not followed. */
  patienceMs: number;
  /** A followed log that is silent for so long is asked for anew: its connection may be dead. */
  silentMs: number;
}

export interface ContainerLines {
  lines: KubeLine[];
  /** The mark was not found before these lines (or at all, when there are none): some may be missing. */
  gap: boolean;
}

/** The kubelet answered with words of its own instead of a log. */
export class NoContainerLogError extends Error {
  override readonly name = "NoContainerLogError";
}

/**
 * Throws a KubernetesError when the log is refused, another error when the connection breaks. What was yielded is to be
 * taken: the next reading begins behind its last line.
 */
export async function* containerLog(options: ContainerLogOptions): AsyncGenerator<ContainerLines> {
  const { client, pod, container, previous, follow, from, signal } = options;
  const answer = await client.stream({
    method: "GET",
    path: `/api/v1/namespaces/${encodeURIComponent(pod.namespace)}/pods/${encodeURIComponent(pod.name)}/log`,
    query: {
      container,
      timestamps: true,
      follow: follow || undefined,
      previous: previous || undefined,
      sinceTime: from && sinceOf(from),
    },
    target: { verb: "get", resource: "pods/log", group: "", namespace: pod.namespace, name: pod.name },
    timeoutMs: options.patienceMs,
    signal,
  });
  const read = kubeLines(from);
  let gap = false;
  const told = (lines: KubeLine[]): ContainerLines => {
    const news = read.lost && !gap;
    gap = read.lost;
    return { lines, gap: news };
  };
  const silence = watchSilence(answer, follow ? options.silentMs : options.patienceMs);
  try {
    for await (const chunk of answer) {
      silence.stop();
      const lines = read.push(chunk as Buffer);
      if (lines.length > 0) yield told(lines);
      silence.watch();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!silence.ended) throw error;
    if (!follow) throw new Error(`no byte of the log came for ${options.patienceMs} ms`, { cause: error });
  } finally {
    silence.stop();
    answer.destroy();
  }
  const lines = read.end(options.whole);
  const last = told(lines);
  if (lines.length > 0 || !read.found) yield { lines, gap: last.gap || !read.found };
  if (read.said) throw new NoContainerLogError(read.said);
}

/** Ends an answer in which nothing comes while it is watched. */
function watchSilence(answer: IncomingMessage, ms: number) {
  let timer: NodeJS.Timeout | undefined;
  const silence = {
    ended: false,
    watch() {
      timer = setTimeout(() => {
        silence.ended = true;
        answer.destroy();
      }, ms);
    },
    stop: () => clearTimeout(timer),
  };
  silence.watch();
  return silence;
}

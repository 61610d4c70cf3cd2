/**
 * The log of one attempt: the containers of its pods, followed together, written as one.
 *
 * The task's own container comes as it is; lines of others begin with `[container] `, so that nobody takes them for the
 * task's.
 */
import type { Clock } from "@flyte-ts/core";
import { isKubernetesError } from "@flyte-ts/platform/kubernetes";
import { type Log, pause } from "../../executor/index.ts";
import type { LogWriter } from "../../logs/index.ts";
import {
  followContainer,
  isLogGone,
  isPodGone,
  type LogSource,
  type Reading,
  type ReadTimes,
  restOf,
  type Slots,
} from "./container-follower.ts";
import type { ContainerLines } from "./container-log.ts";
import { inOrder } from "./in-order.ts";
import { PRIMARY } from "./labels.ts";
import type { ContainerStatus, Pod } from "./objects.ts";
import { isQuiet } from "./phase.ts";
import type { PodAddress } from "./pods.ts";

export interface AttemptLogOptions {
  attemptUri: string;
  client: Reading["client"];
  slots: Slots;
  times: ReadTimes & { goneMs: number };
  /** Most bytes of a log. */
  maxBytes: number;
  clock: Clock;
  log: Log;
  open(note: () => string): Promise<LogWriter>;
  onTrouble(source: LogSource, error: unknown): void;
  /** Looks for a pod that was not over when it was seen last. */
  get(address: PodAddress): Promise<Pod | undefined>;
  /** A log of an earlier life is there, as one object. */
  isStored(): Promise<boolean>;
}

export interface AttemptLog {
  /** What is known of a pod by now; `label` tells apart the pods of attempts that have several. */
  see(pod: Pod, label?: string): void;
  /** Nothing runs any more: reads the rest and stores all of it. May be called again when it throws. */
  finish(): Promise<void>;
  hurry(): void;
  /** Stops following; what is held is stored as far as that is possible now. */
  stop(): Promise<void>;
}

type Marks = Record<string, LogSource["mark"]>;

const REOPEN_MS = 2_000;
const RETRY_MS = 250;

export function attemptLog(options: AttemptLogOptions): AttemptLog {
  const { attemptUri, client, times, clock, log } = options;
  const sources = new Map<string, LogSource>();
  const pods = new Map<string, Pod>();
  const loops = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  let earlier: Marks = {};
  let opening: Promise<LogWriter> | undefined;
  let writer: LogWriter | undefined;
  let beginning: Promise<void> | undefined;
  let isCut = false;
  let concluded = false;

  function open(): Promise<LogWriter> {
    opening ??= options.open(note).then(
      (opened) => {
        writer = opened;
        earlier = marksOf(opened.note);
        for (const source of sources.values()) source.mark ??= earlier[source.key];
        return opened;
      },
      (error: unknown) => {
        opening = undefined;
        throw error;
      },
    );
    return opening;
  }

  function note(): string {
    const marks: Marks = { ...earlier };
    for (const { key, mark } of sources.values()) if (mark) marks[key] = mark;
    return JSON.stringify(marks);
  }

  function system(text: string): void {
    const bytes = Buffer.from(`[flyte-ts] ${text.replaceAll(/\s+/g, " ")}\n`);
    writer?.add({ source: "", bytes, atMs: clock.now().getTime(), system: true });
  }

  function add(source: LogSource, { lines, gap }: ContainerLines): void {
    if (!writer || isCut) return;
    if (gap)
      system(
        `lines of container ${source.container} may be missing here: the node threw them away before they were read`,
      );
    for (const { bytes, begins, atMs, mark } of lines) {
      // First the mark: adding a line may store it, and what is noted with it.
      source.mark = mark;
      const whole = begins && source.prefix !== "" ? Buffer.concat([Buffer.from(source.prefix), bytes]) : bytes;
      writer.add({ source: source.key, bytes: whole, atMs });
    }
    if (writer.bytes < options.maxBytes) return;
    isCut = true;
    system(`the log ends here: it has reached ${options.maxBytes} bytes, the most that is kept of an attempt`);
    stopping.abort();
  }

  const reading: Reading = {
    client,
    times,
    async take(source, batch) {
      add(source, batch);
      await writer?.room(stopping.signal);
    },
    missing: system,
  };

  /** Follows what is not followed yet, once earlier lives are known. */
  async function begin(): Promise<void> {
    while (!writer && !stopping.signal.aborted) {
      try {
        await open();
      } catch (error) {
        log.warn({ attemptUri, err: error }, "a log cannot be followed while the object store does not answer");
        await pause(REOPEN_MS, stopping.signal);
      }
    }
    if (writer?.ended) return;
    for (const source of sources.values()) {
      if (stopping.signal.aborted || source.complete || loops.has(source.key)) continue;
      const loop = followContainer(
        source,
        { ...reading, slots: options.slots, onTrouble: options.onTrouble },
        stopping.signal,
      )
        .catch((error: unknown) => options.onTrouble(source, error))
        .finally(() => loops.delete(source.key));
      loops.set(source.key, loop);
    }
  }

  function seeContainer(pod: Pod, status: ContainerStatus, label: string | undefined): boolean {
    const { running, terminated } = status.state ?? {};
    const { namespace = "", name } = pod.metadata;
    const key = `${name}/${status.name}`;
    const life = status.restartCount ?? 0;
    const known = sources.get(key);
    // Of a pod that is deleted before its container started, kubelets say `ContainerStatusUnknown`: nothing wrote.
    const hasEnded = terminated !== undefined && (known !== undefined || status.containerID !== undefined);
    if (!running && !hasEnded) return false;
    const source: LogSource = known ?? {
      key,
      pod: { namespace, name },
      container: status.name,
      prefix: prefixOf(pod, status.name, label),
      life,
      ended: false,
      mark: earlier[key],
      clean: false,
      complete: false,
      failures: 0,
    };
    sources.set(key, source);
    const isNew = !known || known.life < life;
    if (isNew) Object.assign(source, { life, clean: false, complete: false });
    source.ended = hasEnded;
    return isNew;
  }

  /** Reads what is left of all containers, in the order of time. Returns what could not be read. */
  async function readRest(opened: LogWriter): Promise<Map<LogSource, unknown>> {
    const failed = new Map<LogSource, unknown>();
    const signal = new AbortController().signal;
    async function* patiently(source: LogSource): AsyncGenerator<ContainerLines> {
      for (let tries = source.failures > 0 ? 1 : 2; ; tries -= 1) {
        try {
          yield* restOf(source, reading, signal);
          source.clean = true;
          return;
        } catch (error) {
          // The API server itself is away: all of it can be read later.
          if (isKubernetesError(error, "Unreachable")) throw error;
          if (isLogGone(source, error)) return;
          if (tries > 1 && !isPodGone(error)) await pause(RETRY_MS, signal);
          else return void failed.set(source, error);
        }
      }
    }
    const unread = [...sources.values()].filter(({ complete }) => !complete);
    for await (const batch of inOrder(unread.map((source) => ({ source, batches: patiently(source) })))) {
      add(batch.source, batch);
      if (opened.full) await opened.flush();
      if (isCut) break;
    }
    return failed;
  }

  /** All pods are there, and over: what they wrote can be read to its end. */
  async function areOver(): Promise<boolean> {
    for (const [name, known] of pods) {
      if (isQuiet(known)) continue;
      const pod = await options.get({ namespace: known.metadata.namespace ?? "", name });
      if (!pod || pod.metadata.uid !== known.metadata.uid) return false;
      for (const status of statusesOf(pod)) seeContainer(pod, status, undefined);
    }
    return pods.size > 0;
  }

  async function stopFollowing(): Promise<void> {
    stopping.abort();
    await beginning;
    await Promise.all(loops.values());
  }

  /** Reads what is left, and says so where that is not all. False: there is no log of this attempt, or it is stored. */
  async function conclude(opened: LogWriter, over: boolean): Promise<boolean> {
    if (opened.ended || isCut) return true;
    const failed = over ? await readRest(opened) : new Map<LogSource, unknown>();
    const isGone = (source: LogSource) => !source.clean && (!over || isPodGone(failed.get(source)));
    const gone = sources.size === 0 || [...sources.values()].some(isGone);
    if ((gone || failed.size > 0) && opened.bytes === 0) {
      if (sources.size === 0 || (await options.isStored())) return false;
    }
    if (gone) system("the pod was gone before all of its log was read: the last lines are missing");
    for (const [{ container }, error] of failed) {
      if (!isPodGone(error)) system(`the log of container ${container} could not be read to its end: ${saidBy(error)}`);
    }
    return true;
  }

  return {
    see(pod, label) {
      pods.set(pod.metadata.name, pod);
      let news = false;
      for (const status of statusesOf(pod)) news = seeContainer(pod, status, label) || news;
      // Of a pod that is over, `finish` reads everything at once.
      if (!news || isQuiet(pod) || stopping.signal.aborted) return;
      beginning = (beginning ?? Promise.resolve()).then(begin);
    },
    async finish() {
      const over = await areOver();
      if (over && sources.size === 0) return;
      const isGoing = [...pods.values()].some(({ metadata }) => metadata.deletionTimestamp);
      // Containers of a pod that goes have ended, and with them ends what is followed of them, with their last words.
      if (!over || isGoing) await Promise.race([Promise.all(loops.values()), pause(times.goneMs, stopping.signal)]);
      await stopFollowing();
      const opened = await open();
      concluded ||= await conclude(opened, over);
      if (concluded) await opened.finish();
      opened.close();
    },
    hurry: () => writer?.hurry(),
    async stop() {
      await stopFollowing();
      await writer?.flush().catch((error: unknown) => {
        log.warn({ attemptUri, err: error }, "the last lines of a log are not stored and will be read again");
      });
      writer?.close();
    },
  };
}

function prefixOf(pod: Pod, container: string, label: string | undefined): string {
  const primary = pod.metadata.annotations?.[PRIMARY] ?? pod.spec.containers[0]?.name;
  const words = [...(label ? [label] : []), ...(container === primary ? [] : [container])];
  return words.length === 0 ? "" : `[${words.join("/")}] `;
}

function statusesOf({ status }: Pod): ContainerStatus[] {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
}

function marksOf(note: string): Marks {
  return note === "" ? {} : (JSON.parse(note) as Marks);
}

function saidBy(error: unknown): string {
  const said = isKubernetesError(error) ? error.said : error instanceof Error ? error.message : String(error);
  return said.slice(0, 300);
}

/**
 * Runs attempts as pods of a Kubernetes cluster.
 *
 * Promise: one pod for an attempt, found again by its name whatever restarts; a pod that ends is read for its results
 * before anything is said; an API server that is away costs no attempt; when an attempt is released, nothing of its pod
 * runs, and after its end is taken neither pod nor Secret is left.
 */
import { toDate } from "@flyte-ts/core";
import { StoreUnavailableError } from "@flyte-ts/platform/object-store";
import type { AttemptContext, AttemptDetails, AttemptError, Plugin, Step, Transition } from "../../executor/index.ts";
import { declaresOutputs, endByResults, readResults } from "../../task-code/index.ts";
import { creator, isOurs } from "./creator.ts";
import { news, ownEvent } from "./events.ts";
import { ATTEMPT_KEY } from "./labels.ts";
import { logContext, logLinks } from "./logs.ts";
import { podName } from "./names.ts";
import { type Note, readNote, writeNote } from "./note.ts";
import type { Pod } from "./objects.ts";
import type { PodOptions } from "./options.ts";
import { isQuiet, lostAfter, observe, type Seen } from "./phase.ts";
import { vanished } from "./pod-end.ts";
import type { PodAddress } from "./pods.ts";
import { isPassing } from "./refusal.ts";
import { EXIT_CODE } from "./staged.ts";
import { momentOf } from "./times.ts";

/** Events follow each other closely: those that come without a phase are told together. */
const GATHER_MS = 2_000;
/** The watch wakes attempts; this is for what a watch may never tell. */
const RECHECK_MS = 300_000;
const AWAY_MS = 2_000;
const ENDING_MS = 2_000;

type ExistingPod = NonNullable<Note["pod"]>;

export function podPlugin(options: PodOptions): Plugin {
  const { pods, objectStore, config, log, logs } = options;
  const create = creator(options);
  const wakes = new Map<string, () => void>();
  /** When the deletion of a pod was asked for. The watch tells of it later, and until then the pod looks as before. */
  const askedMs = new Map<string, number>();

  async function begin(context: AttemptContext, note: Note): Promise<Step> {
    const created = await create(context);
    switch (created.kind) {
      case "fail":
        return { transitions: [{ phase: "failed", at: context.now, error: created.error }], released: true };
      case "wait": {
        const after = config.graces.quotaRetryMs;
        if (note.told === "waitingForResources") return { after };
        const clusterEvents = [ownEvent(context.now, created.reason, created.message)];
        const state = writeNote({ ...note, told: "waitingForResources", toldAt: context.now });
        return {
          transitions: [{ phase: "waitingForResources", at: context.now }],
          state,
          details: { clusterEvents },
          after,
        };
      }
      case "created": {
        const { pod, secret, primary } = created;
        const { namespace = "", name, uid = "" } = pod.metadata;
        return look(context, pod, { ...note, pod: { namespace, name, uid, secret, primary } });
      }
    }
  }

  /** Moves the attempt to where its pod is. */
  async function look(context: AttemptContext, pod: Pod, note: Note): Promise<Step> {
    const { primary } = note.pod as ExistingPod;
    wakes.set(addressText(note.pod as ExistingPod), context.wake);
    const seen = observe(pod, { primary, graces: config.graces, now: context.now, trouble: note.trouble });
    if (seen.kind === "ended") return finish(context, pod, note, seen);
    const next: Note = { ...note };
    delete next.trouble;
    if ("trouble" in seen && seen.trouble) next.trouble = seen.trouble;
    const transitions: Transition[] = [];
    const enter = (transition: Transition) => {
      transitions.push(transition);
      next.toldAt = transition.at;
    };
    const at = momentOf(undefined, context.now, note.toldAt);
    let after = RECHECK_MS;
    if (seen.kind === "failed") {
      enter({ phase: "failed", at, error: seen.error });
      next.ended = true;
      after = 0;
    } else {
      after = Math.min(after, seen.after ?? after);
      if (seen.kind === "pending" && seen.waiting && !note.told) {
        next.told = "waitingForResources";
        enter({ phase: "waitingForResources", at });
      } else if (seen.kind === "starting" && note.told !== "initializing") {
        next.told = "initializing";
        enter({ phase: "initializing", at });
      } else if (seen.kind === "running" || seen.kind === "handingOver") {
        if (seen.kind === "handingOver") await handOver(pod, seen.exitCode);
        if (!context.startedAt) enter({ phase: "running", at: momentOf(seen.startedAt, context.now, note.toldAt) });
      }
      // Init containers write before the task runs.
      await follow(context, pod);
    }
    const step = await told(context, pod, next, note, transitions);
    return { ...step, after: Math.min(after, step.after ?? after) };
  }

  /** What takes the outputs waits for this word; see staged.ts. */
  async function handOver(pod: Pod, exitCode: number): Promise<void> {
    const { namespace = "", name, uid = "", annotations } = pod.metadata;
    if (annotations?.[EXIT_CODE] === String(exitCode)) return;
    await pods.annotate({ namespace, name, uid }, { [EXIT_CODE]: String(exitCode) });
  }

  async function finish(
    context: AttemptContext,
    pod: Pod,
    note: Note,
    seen: Extract<Seen, { kind: "ended" }>,
  ): Promise<Step> {
    const transitions: Transition[] = [];
    let floor = context.startedAt ?? note.toldAt;
    if (!context.startedAt && seen.startedAt) {
      floor = momentOf(seen.startedAt, context.now, floor);
      transitions.push({ phase: "running", at: floor });
    }
    const at = momentOf(seen.at, context.now, floor);
    transitions.push((await resultOf(context, at, seen.exitedZero)) ?? { ...seen.end, at });
    const quiet = isQuiet(pod);
    await follow(context, pod);
    if (quiet) await finishLog(context, note.pod as ExistingPod);
    const step = await told(context, pod, { ...note, ended: true }, note, transitions);
    if (logs) step.details = { ...step.details, logsAvailable: true };
    return quiet ? { ...step, released: true } : { ...step, after: 0 };
  }

  /** The pod is gone; what its task wrote may still say how it ended. */
  async function lost(context: AttemptContext, pod: ExistingPod): Promise<Step> {
    const at = momentOf(undefined, context.now, context.startedAt);
    const error: AttemptError = vanished(pod.name);
    const end = (await resultOf(context, at, false)) ?? { phase: "failed", at, error };
    await finishLog(context, pod);
    return { transitions: [end], ...(logs ? { details: { logsAvailable: true } } : {}), released: true };
  }

  async function resultOf(context: AttemptContext, at: Date, exitedZero: boolean): Promise<Transition | undefined> {
    const { attemptUri } = context.places;
    const results = await readResults(objectStore, attemptUri);
    const declared = declaresOutputs(context.task.taskTemplate);
    return endByResults({ ...results, at, exitedZero, declaresOutputs: declared, attemptUri });
  }

  /** A step with what is new of the pod; nothing at all when nothing is. */
  async function told(
    context: AttemptContext,
    pod: Pod,
    next: Note,
    before: Note,
    transitions: Transition[],
  ): Promise<Step> {
    const all = news(await pods.events(pod), before.events);
    const youngest = all.events.at(-1)?.occurredAt;
    const young = youngest !== undefined && toDate(youngest).getTime() > context.now.getTime() - GATHER_MS;
    const held = transitions.length === 0 && young;
    const fresh = held ? { events: [], told: before.events } : all;
    next.events = fresh.told;
    const details: AttemptDetails = {};
    if (transitions.length > 0) {
      const { primary } = next.pod as ExistingPod;
      const template = context.task.taskTemplate;
      details.logContext = logContext(pod, primary);
      const links = logLinks({ pod, primary, lease: context.lease, template, links: config.logLinks });
      if (links.length > 0) details.logInfo = links;
      if (logs && transitions.some(({ phase }) => phase === "running")) details.logsAvailable = true;
    }
    if (fresh.events.length > 0) details.clusterEvents = fresh.events;
    const state = writeNote(next);
    return {
      ...(JSON.stringify(state) === JSON.stringify(context.state ?? {}) ? {} : { state }),
      ...(transitions.length > 0 ? { transitions } : {}),
      ...(Object.keys(details).length > 0 ? { details } : {}),
      ...(held ? { after: GATHER_MS } : {}),
    };
  }

  /** Ends what is left of the pod, until nothing runs. */
  async function cleanUp(context: AttemptContext, address: PodAddress, secret: boolean, gone: boolean): Promise<Step> {
    const pod = await pods.get(address);
    if (!pod || !isOurs(pod, context.key, options.cluster)) {
      askedMs.delete(addressText(address));
      await finishLog(context, address);
      if (!pod && secret) await pods.delete({ ...address, secret, graceSeconds: 0 });
      return { released: true };
    }
    wakes.set(addressText(address), context.wake);
    await follow(context, pod);
    if (isQuiet(pod)) {
      // While there is something to read.
      await finishLog(context, address);
      if (!gone) return { released: true };
    }
    const lostIn = lostAfter(pod, { graces: config.graces, now: context.now });
    if (lostIn === undefined) {
      const nowMs = context.now.getTime();
      const before = askedMs.get(addressText(address));
      if (before !== undefined && nowMs - before < ENDING_MS) return { after: ENDING_MS };
      await pods.delete({ ...address, secret, graceSeconds: config.terminationGraceSeconds });
      askedMs.set(addressText(address), nowMs);
      // A pod that no kubelet knows of is gone at once.
      return { after: pod.spec.nodeName ? ENDING_MS : 0 };
    }
    if (lostIn <= 0) await pods.delete({ ...address, secret, graceSeconds: 0 });
    return { after: ENDING_MS };
  }

  async function follow(context: AttemptContext, pod: Pod): Promise<void> {
    try {
      await logs?.follow(context.places.attemptUri, pod);
    } catch (error) {
      log.warn({ attempt: context.key, err: error }, "the log of a pod cannot be followed");
    }
  }

  async function finishLog(context: AttemptContext, address: PodAddress): Promise<void> {
    try {
      await logs?.finish(context.places.attemptUri, address);
    } catch (error) {
      if (isAway(error)) throw error;
      log.warn({ attempt: context.key, err: error }, "the log of a pod cannot be stored");
    }
  }

  /** While Kubernetes or the object store is away, nobody knows more than before: the attempt waits. */
  async function patient(context: AttemptContext, step: () => Promise<Step>): Promise<Step> {
    try {
      return await step();
    } catch (error) {
      if (!isAway(error)) throw error;
      log.warn({ attempt: context.key, err: error }, "a pod cannot be looked after yet");
      return { after: AWAY_MS };
    }
  }

  function addressOf(context: AttemptContext, note: Note): PodAddress {
    if (note.pod) return note.pod;
    const { ref, attempt } = context.lease;
    if (!ref) throw new Error("a lease names no action");
    return { namespace: options.namespace(context.lease), name: podName(ref, attempt) };
  }

  return {
    taskTypes: options.taskTypes ?? ["python", "container", "raw-container", "sidecar", "*"],
    reconcile: (context) =>
      patient(context, async () => {
        const note = readNote(context.state);
        if (!note.pod) return begin(context, note);
        if (note.ended) return cleanUp(context, note.pod, note.pod.secret, false);
        const pod = await pods.get(note.pod);
        if (!pod || pod.metadata.uid !== note.pod.uid) return lost(context, note.pod);
        return look(context, pod, note);
      }),
    abort: (context) =>
      patient(context, () => {
        const note = readNote(context.state);
        // What an earlier life created without a note of it may have a Secret.
        return cleanUp(context, addressOf(context, note), note.pod?.secret ?? true, true);
      }),
    async finalize(context) {
      const note = readNote(context.state);
      const address = addressOf(context, note);
      wakes.delete(addressText(address));
      askedMs.delete(addressText(address));
      if (!note.pod) return;
      await pods.delete({ ...address, secret: note.pod.secret, graceSeconds: config.terminationGraceSeconds });
    },
    async sweep(isHeld) {
      for (const pod of await pods.list()) {
        const key = pod.metadata.annotations?.[ATTEMPT_KEY];
        if (key === undefined || pod.metadata.deletionTimestamp || (await isHeld(key))) continue;
        const { namespace = "", name } = pod.metadata;
        log.warn({ attempt: key, namespace, pod: name }, "a pod of an attempt that went elsewhere is deleted");
        await pods.delete({ namespace, name, secret: true, graceSeconds: config.terminationGraceSeconds });
      }
    },
    async run(signal) {
      const changed = (address: PodAddress) => wakes.get(addressText(address))?.();
      await Promise.all([pods.run(changed, signal), logs?.run?.(signal)]);
    },
  };
}

function isAway(error: unknown): boolean {
  return isPassing(error) || error instanceof StoreUnavailableError;
}

function addressText({ namespace, name }: PodAddress): string {
  return `${namespace}/${name}`;
}

/**
 * Runs attempts as jobs of operators: JobSet, Ray, Spark, Dask, Kubeflow's training jobs.
 *
 * Promise: one job for an attempt, found again by its name whatever restarts; a job that ends is read for its task's
 * results before anything is said; an API server that is away costs no attempt; when an attempt is released, neither its
 * job nor a running pod of it is left, whether its operator helps or not.
 */
import { toDate } from "@flyte-ts/core";
import { isKubernetesError } from "@flyte-ts/platform/kubernetes";
import type { AttemptContext, AttemptDetails, Plugin, Step, Transition } from "../../executor/index.ts";
import { declaresOutputs, endByResults, readResults } from "../../task-code/index.ts";
import { news, ownEvent } from "../pod/events.ts";
import { ATTEMPT_KEY } from "../pod/labels.ts";
import { logLinks } from "../pod/logs.ts";
import { podName } from "../pod/names.ts";
import type { Pod } from "../pod/objects.ts";
import { isQuiet, lostAfter } from "../pod/phase.ts";
import { momentOf } from "../pod/times.ts";
import { creator, isOurs } from "./creator.ts";
import { isAway, jobLog } from "./job-log.ts";
import type { JobAddress } from "./jobs.ts";
import type { JobKind, JobObject } from "./kind.ts";
import { digestOf, jobLogContext } from "./log-context.ts";
import { jobName, SECRET } from "./names.ts";
import { type Note, readNote, writeNote } from "./note.ts";
import type { JobOptions } from "./options.ts";
import { primaryContainer, progress } from "./phase.ts";

/** What comes without a phase is told together: events follow each other closely, and so do pods of a large job. */
const GATHER_MS = 2_000;
/** Watches wake attempts; this is for what a watch may never tell. */
const RECHECK_MS = 60_000;
const AWAY_MS = 2_000;
const ENDING_MS = 2_000;

type ExistingJob = NonNullable<Note["job"]>;
type Ended = ReturnType<typeof progress> & { kind: "ended" };

export function jobPlugin(options: JobOptions): Plugin {
  const { jobs, objectStore, config, log, logs } = options;
  const kinds = new Map(options.kinds.flatMap((kind) => kind.taskTypes.map((type) => [type, kind] as const)));
  const create = creator(options);
  const journal = jobLog(options);
  const wakes = new Map<string, () => void>();

  function kindOf({ lease }: AttemptContext): JobKind {
    const kind = kinds.get(lease.taskType);
    if (!kind) throw new Error(`no kind of job is for tasks of type "${lease.taskType}"`);
    return kind;
  }

  async function begin(context: AttemptContext, note: Note): Promise<Step> {
    const created = await create(kindOf(context), context);
    switch (created.kind) {
      case "fail":
        return { transitions: [{ phase: "failed", at: context.now, error: created.error }], released: true };
      case "wait": {
        const after = config.graces.quotaRetryMs;
        if (note.told === "waitingForResources") return { after };
        return {
          transitions: [{ phase: "waitingForResources", at: context.now }],
          state: writeNote({ ...note, told: "waitingForResources", toldAt: context.now }),
          details: { clusterEvents: [ownEvent(context.now, created.reason, created.message)] },
          after,
        };
      }
      case "created": {
        const { job, secret } = created;
        const { namespace = "", name, uid = "" } = job.metadata;
        return look(context, job, { ...note, job: { namespace, name, uid, secret } });
      }
    }
  }

  /** Moves the attempt to where its job is. */
  async function look(context: AttemptContext, job: JobObject, note: Note): Promise<Step> {
    const kind = kindOf(context);
    const address = note.job as ExistingJob;
    wakes.set(addressText(address), context.wake);
    const of = { graces: config.graces, operatorMs: options.jobConfig.operatorMs, now: context.now };
    let pods = await jobs.pods(address);
    let seen = progress(kind, job, pods, { ...of, trouble: note.trouble });
    if (seen.kind === "ended") {
      // The copy of the pods may be older than that of the job: why it ended is worth a question.
      pods = await jobs.pods(address, { now: true });
      seen = progress(kind, job, pods, { ...of, trouble: note.trouble });
    }
    if (seen.kind === "ended") return finish(context, job, pods, note, seen);

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
      if (seen.kind === "pending" && seen.waiting && !note.told && !context.startedAt) {
        next.told = "waitingForResources";
        enter({ phase: "waitingForResources", at });
      } else if (seen.kind === "starting" && note.told !== "initializing" && !context.startedAt) {
        next.told = "initializing";
        enter({ phase: "initializing", at });
      } else if (seen.kind === "running" && !context.startedAt) {
        enter({ phase: "running", at: momentOf(seen.startedAt, context.now, note.toldAt) });
      }
      await journal.follow(context, speakerOf(kind, pods), next);
    }
    const step = await told(context, job, pods, next, note, transitions);
    return { ...step, after: Math.min(after, step.after ?? after) };
  }

  async function finish(context: AttemptContext, job: JobObject, pods: readonly Pod[], note: Note, seen: Ended) {
    const kind = kindOf(context);
    const transitions: Transition[] = [];
    let floor = context.startedAt ?? note.toldAt;
    if (!context.startedAt && seen.startedAt) {
      floor = momentOf(seen.startedAt, context.now, floor);
      transitions.push({ phase: "running", at: floor });
    }
    const at = momentOf(seen.at, context.now, floor);
    const taken = await resultOf(context, at, seen.succeeded);
    const counts = taken?.phase === "failed" || seen.succeeded || kind.driven;
    transitions.push((counts ? taken : undefined) ?? { ...seen.end, at });
    const next: Note = { ...note, ended: true };
    const speaker = speakerOf(kind, pods);
    await journal.follow(context, speaker, next);
    if (speaker && isQuiet(speaker)) await journal.finish(context, next);
    const step = await told(context, job, pods, next, note, transitions);
    if (logs && next.speaker !== "") step.details = { ...step.details, logsAvailable: true };
    return { ...step, after: 0 };
  }

  /** The job is gone; what its task wrote may still say how it ended. */
  async function lost(context: AttemptContext, note: Note): Promise<Step> {
    const kind = kindOf(context);
    const at = momentOf(undefined, context.now, context.startedAt);
    const message = `the ${kind.kind} ${note.job?.name} was deleted by someone else before its task had ended`;
    const error = { code: "ResourceDeletedExternally", message, kind: "system", recoverable: true } as const;
    const end = (await resultOf(context, at, false)) ?? { phase: "failed", at, error };
    const details = logs && note.speaker !== "" ? { details: { logsAvailable: true } } : {};
    return { transitions: [end], state: writeNote({ ...note, ended: true }), ...details, after: 0 };
  }

  async function resultOf(context: AttemptContext, at: Date, exitedZero: boolean): Promise<Transition | undefined> {
    const { attemptUri } = context.places;
    const results = await readResults(objectStore, attemptUri);
    const declared = declaresOutputs(context.task.taskTemplate);
    return endByResults({ ...results, at, exitedZero, declaresOutputs: declared, attemptUri });
  }

  /** A step with what is new of the job and its pods; nothing at all when nothing is. */
  async function told(
    context: AttemptContext,
    job: JobObject,
    pods: readonly Pod[],
    next: Note,
    before: Note,
    transitions: Transition[],
  ): Promise<Step> {
    const kind = kindOf(context);
    const speaker = speakerOf(kind, pods);
    const chosen = new Set([kind.primary(pods), speaker].filter((pod) => pod !== undefined));
    const all = news(await jobs.events(kind, job, [...chosen]), before.events);
    const youngest = all.events.at(-1)?.occurredAt;
    const now = context.now.getTime();
    const young = youngest !== undefined && toDate(youngest).getTime() > now - GATHER_MS;
    const digest = digestOf(pods);
    const moved = digest !== before.pods;
    const held = transitions.length === 0 && (young || (moved && now - before.podsAt < GATHER_MS));
    const fresh = held ? { events: [], told: before.events } : all;
    next.events = fresh.told;
    const details: AttemptDetails = {};
    if (!held && pods.length > 0 && (moved || transitions.length > 0)) {
      next.pods = digest;
      next.podsAt = now;
      details.logContext = jobLogContext(pods, speaker);
      const template = context.task.taskTemplate;
      const of = { lease: context.lease, template, links: config.logLinks };
      const links = speaker ? logLinks({ ...of, pod: speaker, primary: primaryContainer(speaker) }) : [];
      if (links.length > 0) details.logInfo = links;
    }
    if (logs && next.speaker !== "" && before.speaker === "") details.logsAvailable = true;
    if (fresh.events.length > 0) details.clusterEvents = fresh.events;
    const state = writeNote(next);
    return {
      ...(JSON.stringify(state) === JSON.stringify(context.state ?? {}) ? {} : { state }),
      ...(transitions.length > 0 ? { transitions } : {}),
      ...(Object.keys(details).length > 0 ? { details } : {}),
      ...(held ? { after: GATHER_MS } : {}),
    };
  }

  /** Deletes the job, then ends what is left of its pods, until nothing runs. */
  async function cleanUp(context: AttemptContext, address: JobAddress, before: Note): Promise<Step> {
    const kind = kindOf(context);
    const note = { ...before };
    const job = await jobs.get(kind, address);
    if (job && !isOurs(job, context.key, options.cluster)) return { released: true };
    wakes.set(addressText(address), context.wake);
    const pods = await jobs.pods(address, { now: true });
    const speaker = speakerOf(kind, pods);
    await journal.follow(context, speaker, note);
    // While there is something to read.
    if (speaker && isQuiet(speaker)) await journal.finish(context, note);
    // Without the job there may still be its Secret.
    if (!job?.metadata.deletionTimestamp) await jobs.delete(kind, address);
    const running = pods.filter((pod) => !isQuiet(pod));
    for (const pod of running) {
      const { namespace = "", name } = pod.metadata;
      const lostIn = lostAfter(pod, { graces: config.graces, now: context.now });
      if (lostIn === undefined) await jobs.endPod({ namespace, name }, config.terminationGraceSeconds);
      else if (lostIn <= 0) await jobs.endPod({ namespace, name }, 0);
    }
    // A finalizer of an operator that is away keeps the object, but nothing runs for it any more.
    if (running.length === 0) await journal.finish(context, note);
    const state = JSON.stringify(note) === JSON.stringify(before) ? {} : { state: writeNote(note) };
    if (running.length === 0) return { ...state, released: true };
    return { ...state, after: running.some(({ spec }) => spec.nodeName) ? ENDING_MS : 0 };
  }

  /** While Kubernetes or the object store is away, nobody knows more than before: the attempt waits. */
  async function patient(context: AttemptContext, step: () => Promise<Step>): Promise<Step> {
    try {
      return await step();
    } catch (error) {
      if (!isAway(error)) throw error;
      log.warn({ attempt: context.key, err: error }, "a job cannot be looked after yet");
      return { after: AWAY_MS };
    }
  }

  function addressOf(context: AttemptContext, note: Note): JobAddress {
    if (note.job) return note.job;
    const { ref, attempt } = context.lease;
    if (!ref) throw new Error("a lease names no action");
    const name = jobName(ref, attempt, kindOf(context).maxName);
    // What an earlier life created without a note of it may have a Secret.
    return { namespace: options.namespace(context.lease), name, secret: podName(ref, attempt) };
  }

  return {
    taskTypes: [...kinds.keys()],
    lacksTaskTypes: {
      now: async (signal) => (await jobs.lacking(signal)).flatMap(({ taskTypes }) => taskTypes),
      onChange: jobs.onLacking,
    },
    reconcile: (context) =>
      patient(context, async () => {
        const note = readNote(context.state);
        if (!note.job) return begin(context, note);
        if (note.ended) return cleanUp(context, note.job, note);
        const job = await jobs.get(kindOf(context), note.job);
        if (!job || job.metadata.uid !== note.job.uid) return lost(context, note);
        return look(context, job, note);
      }),
    abort: (context) =>
      patient(context, async () => {
        const note = readNote(context.state);
        try {
          return await cleanUp(context, addressOf(context, note), note);
        } catch (error) {
          // What may not even be looked for was not created either.
          if (!note.job && isKubernetesError(error, "Forbidden")) return { released: true };
          throw error;
        }
      }),
    async finalize(context) {
      const note = readNote(context.state);
      wakes.delete(addressText(addressOf(context, note)));
      if (note.job) await jobs.delete(kindOf(context), note.job);
    },
    async sweep(isHeld) {
      for (const kind of options.kinds) {
        for (const job of await jobs.list(kind)) {
          const { namespace = "", name, annotations, deletionTimestamp } = job.metadata;
          const key = annotations?.[ATTEMPT_KEY];
          if (key === undefined || deletionTimestamp || (await isHeld(key))) continue;
          log.warn({ attempt: key, namespace, job: name }, "a job of an attempt that went elsewhere is deleted");
          await jobs.delete(kind, { namespace, name, secret: annotations?.[SECRET] ?? "" });
        }
      }
    },
    run: (signal) => jobs.run((address) => wakes.get(addressText(address))?.(), signal),
  };
}

function speakerOf(kind: JobKind, pods: readonly Pod[]): Pod | undefined {
  return kind.speaker?.(pods) ?? kind.primary(pods);
}

function addressText({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}

/**
 * One leader among replicas, by a Lease object.
 *
 *     const election = leaderElection({ client, name: "flyte-executor-gpu", identity: hostname });
 *     await election.run(signal, async (leading) => runController(leading));
 *
 * Promise: `lead` runs in at most one replica at a time, as long as every process is told the passing of time rightly; no
 * two clocks are compared. A candidate takes over only after it has itself seen the lease unchanged for its whole
 * duration; a leader that could not renew for `renewDeadlineMs`, which is shorter, aborts `leading`. Leadership is let
 * go when `lead` returns or the signal aborts, so that the next one need not wait.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { KubernetesClient } from "./client.ts";
import { isKubernetesError, type KubernetesError } from "./errors.ts";
import { type Log, silentLog } from "./log.ts";
import type { KubeObject } from "./objects.ts";

export interface LeaderElectionOptions {
  client: KubernetesClient;
  name: string;
  namespace?: string;
  /** Of this process, unlike any other's. */
  identity: string;
  leaseMs?: number;
  renewDeadlineMs?: number;
  retryMs?: number;
  random?: () => number;
  log?: Log;
}

export interface LeaderElection {
  /**
   * Stands for election until the signal aborts, leading again after a loss. A throw of `lead` ends it, after the lease
   * was let go. `leading` aborts when the lead is lost; `lead` must then stop what it does and return.
   */
  run(signal: AbortSignal, lead: (leading: AbortSignal) => Promise<void>): Promise<void>;
}

interface Lease extends KubeObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

export function leaderElection(options: LeaderElectionOptions): LeaderElection {
  const { client, identity, name, log = silentLog, random = Math.random } = options;
  const leaseMs = options.leaseMs ?? 15_000;
  const renewDeadlineMs = options.renewDeadlineMs ?? (leaseMs * 2) / 3;
  const retryMs = options.retryMs ?? leaseMs / 7.5;
  if (!(retryMs < renewDeadlineMs && renewDeadlineMs < leaseMs)) {
    throw new Error(
      `leader election needs retry < renew deadline < lease, not ${retryMs}, ${renewDeadlineMs}, ${leaseMs} ms`,
    );
  }
  const namespace = options.namespace ?? client.namespace;
  const leases = client.resource<Lease>({
    group: "coordination.k8s.io",
    version: "v1",
    plural: "leases",
    namespaced: true,
  });
  const fields = { lease: `${namespace}/${name}`, identity };
  /** The lease as last seen, and when this process first saw it so. */
  let observed: { version: string; at: number } | undefined;

  function spec(before: Lease["spec"]): NonNullable<Lease["spec"]> {
    const mine = before?.holderIdentity === identity;
    const now = microTime(new Date());
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.max(1, Math.ceil(leaseMs / 1000)),
      acquireTime: mine ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before?.leaseTransitions ?? 0) + (mine || before === undefined ? 0 : 1),
    };
  }

  /** The lease when it is ours now; undefined when another has it. */
  async function acquire(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      const lease = await leases.get(name, { namespace, signal });
      const { resourceVersion = "" } = lease.metadata;
      if (observed?.version !== resourceVersion) observed = { version: resourceVersion, at: performance.now() };
      const theirs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
      const held = lease.spec?.holderIdentity && lease.spec.holderIdentity !== identity;
      if (held && performance.now() - observed.at < theirs) return undefined;
      return await leases.replace({ ...lease, spec: spec(lease.spec) }, { signal });
    } catch (error) {
      if (!isKubernetesError(error, "NotFound")) throw error;
      const metadata = { name, namespace };
      const fresh = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: spec(undefined) };
      return await leases.create(fresh, { signal });
    }
  }

  /** Renews until it is lost (returns) or the signal aborts. */
  async function keep(lease: Lease, startedAt: number, signal: AbortSignal): Promise<Lease> {
    let current = lease;
    let renewedAt = startedAt;
    while (!signal.aborted) {
      await pause(retryMs, signal);
      // Counted from before the call: what others count from is later.
      const asked = performance.now();
      const left = renewedAt + renewDeadlineMs - asked;
      if (left <= 0) return current;
      const attempt = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(left))]);
      try {
        current = await leases.replace({ ...current, spec: spec(current.spec) }, { signal: attempt });
        renewedAt = asked;
      } catch (error) {
        if (signal.aborted) return current;
        if (isKubernetesError(error, "Conflict", "NotFound")) {
          const now = await leases.get(name, { namespace, signal: attempt }).catch(() => undefined);
          if (now?.spec?.holderIdentity !== identity) return current;
          current = now;
        }
        log.warn({ ...fields, err: error }, "the lead could not be renewed");
      }
    }
    return current;
  }

  async function release(lease: Lease): Promise<void> {
    try {
      const latest = await leases.get(name, { namespace, signal: AbortSignal.timeout(retryMs) });
      if (latest.spec?.holderIdentity !== identity) return;
      const given = { ...latest.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: microTime(new Date()) };
      await leases.replace({ ...latest, spec: given }, { signal: AbortSignal.timeout(retryMs) });
    } catch (error) {
      log.warn({ ...fields, version: lease.metadata.resourceVersion, err: error }, "the lead could not be let go");
    }
  }

  async function term(
    lease: Lease,
    startedAt: number,
    signal: AbortSignal,
    lead: (leading: AbortSignal) => Promise<void>,
  ) {
    const lost = new AbortController();
    const done = new AbortController();
    const leading = AbortSignal.any([signal, lost.signal]);
    log.info(fields, "leading");
    // Renewed until the work has really ended: who drains still leads.
    const keeping = keep(lease, startedAt, done.signal).then((last) => {
      if (!done.signal.aborted) {
        log.warn(fields, "the lead is lost");
        lost.abort(new Error(`the lead of ${name} is lost`));
      }
      return last;
    });
    try {
      await lead(leading);
    } finally {
      done.abort();
      await release(await keeping);
    }
  }

  return {
    async run(signal, lead) {
      while (!signal.aborted) {
        const asked = performance.now();
        try {
          const lease = await acquire(signal);
          if (lease) {
            await term(lease, asked, signal, (leading) => lead(leading).catch(wrap));
            // Whoever lost or returned stands again like any other.
            observed = undefined;
          }
        } catch (error) {
          if (error instanceof LeadError) throw error.cause;
          if (signal.aborted) return;
          if (!isKubernetesError(error)) throw error;
          if (!isKubernetesError(error, "Conflict", "AlreadyExists")) report(error);
        }
        await pause(retryMs * (1 + random() * 0.2), signal);
      }
    },
  };

  function report(error: KubernetesError): void {
    log.warn({ ...fields, err: error }, "the lease could not be read or taken");
  }
}

/** Tells what `lead` threw from what the election ran into. */
class LeadError extends Error {}

function wrap(cause: unknown): never {
  throw new LeadError("the leader's work failed", { cause });
}

/** Kubernetes wants microseconds here. */
function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}

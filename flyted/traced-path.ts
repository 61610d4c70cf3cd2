/**
 * One trace for the path of each run's actions: enqueue, lease, attempt, report. The trace follows from the run's name,
 * so servers that come and go write to the same one. Without a collector nothing is wrapped and nothing costs.
 */
import type { ActionRef, AttemptReport } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ClusterLink, Enqueue } from "@flyte-ts/control-plane/queue-service";
import { isTerminal, phaseName } from "@flyte-ts/core";
import { type Tracer, traceparentOfRun } from "@flyte-ts/platform/telemetry";

interface RunName {
  project: string;
  domain: string;
  name: string;
}

function ofRun(tracer: Tracer, { project, domain, name }: RunName): Tracer {
  return tracer.withParent(traceparentOfRun(`${project}/${domain}/${name}`));
}

export function tracedQueue(queue: Enqueue, tracer: Tracer): Enqueue {
  if (!tracer.enabled) return queue;
  return {
    ...queue,
    submit(item) {
      const run = item.run.kind === "new" ? item.run.run : item.run.name;
      const attributes = { "flyte.run": run.name, "flyte.action": item.action.name };
      return ofRun(tracer, run).span("enqueue", attributes, () => queue.submit(item));
    },
  };
}

/** An attempt's span lasts from its lease to the report of its end, as this process sees it. */
export function tracedLink(link: ClusterLink, tracer: Tracer): ClusterLink {
  if (!tracer.enabled) return link;
  const open = new Map<string, (phase: string) => void>();

  function begin(ref: ActionRef, attempt: number): void {
    const key = keyOf(ref, attempt);
    if (open.has(key)) return;
    const attributes = { "flyte.run": ref.run, "flyte.action": ref.name, "flyte.attempt": attempt };
    void ofRun(tracer, { ...ref, name: ref.run })
      .span("attempt", attributes, async () => {
        const phase = await new Promise<string>((resolve) => open.set(key, resolve));
        // A failed attempt shows as a failed span; nobody waits for this promise.
        if (phase === "FAILED" || phase === "TIMED_OUT") throw new Error(`the attempt ended ${phase}`);
      })
      .catch(() => undefined);
  }

  function end({ ref, attempt, transitions, released }: AttemptReport): void {
    if (!ref) return;
    const last = transitions.findLast(({ phase }) => isTerminal(phase));
    if (!last && !released) return;
    const key = keyOf(ref, attempt);
    open.get(key)?.(last ? phaseName(last.phase) : "ABORTED");
    open.delete(key);
  }

  return {
    ...link,
    async *connect(request, signal, how) {
      for await (const response of link.connect(request, signal, how)) {
        for (const { ref, attempt } of response.leased) if (ref) begin(ref, attempt);
        yield response;
      }
    },
    async report(request) {
      const [first] = request.reports;
      if (!first?.ref) return link.report(request);
      const attributes = { "flyte.cluster": request.cluster, "flyte.reports": request.reports.length };
      const { ref } = first;
      const response = await ofRun(tracer, { ...ref, name: ref.run }).span("report", attributes, () =>
        link.report(request),
      );
      for (const report of request.reports) end(report);
      return response;
    },
  };
}

function keyOf(ref: ActionRef, attempt: number): string {
  return `${ref.runKey}/${ref.name}/${attempt}`;
}

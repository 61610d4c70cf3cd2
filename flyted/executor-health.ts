/**
 * What an executor says of itself: /readyz names what it needs and cannot reach, /metrics tells the same in numbers.
 *
 * Promise: every answer is looked up anew, and comes in time whatever is away. A replica that stands by is ready when it
 * could lead at once. Nothing here ends what runs: pods go on, and the executor waits.
 */
import type { ControlLink } from "@flyte-ts/data-plane/executor";
import type { HttpHandler } from "@flyte-ts/platform/rpc";
import type { Metrics } from "@flyte-ts/platform/telemetry";

export type Need = "the control plane" | "the Kubernetes API server" | "the object store";

export interface ExecutorHealth {
  /** How a need is looked for; one that has no check yet counts as away. */
  needs(need: Need, check: (signal: AbortSignal) => Promise<unknown>): void;
  /** The same link, watched. */
  watched(link: ControlLink): ControlLink;
  /** The same work, watched: whoever does it leads. */
  leading(work: (signal: AbortSignal) => Promise<void>): (signal: AbortSignal) => Promise<void>;
  /** Rejects with all that is away. */
  ready(): Promise<void>;
  /** Goes before the handler of /metrics. */
  http: HttpHandler;
}

/** Less than a probe waits. */
const LOOK_MS = 1_500;

const labels: Record<Need, string> = {
  "the control plane": "control_plane",
  "the Kubernetes API server": "kubernetes",
  "the object store": "object_store",
};

export function executorHealth(metrics: Pick<Metrics, "gauge">, controlPlane: string): ExecutorHealth {
  const reached = metrics.gauge<"part">({
    name: "flyte_executor_reaches",
    help: "1 for a part that answered when this was asked, 0 for one that did not",
    labels: { part: Object.values(labels) },
  });
  const leads = metrics.gauge({
    name: "flyte_executor_leads",
    help: "1 in the replica that works, 0 in one that stands by",
  });
  const connected = metrics.gauge({
    name: "flyte_executor_connected",
    help: "1 while the control plane's stream of leases is open",
  });
  const checks = new Map<Need, (signal: AbortSignal) => Promise<unknown>>();

  /** Why it is away; undefined when it is not. */
  async function look(need: Need): Promise<string | undefined> {
    const check = checks.get(need);
    if (!check) return `${need} is not known yet: the control plane has to say where it is`;
    const signal = AbortSignal.timeout(LOOK_MS);
    const late = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => late.reject(new Error(`no answer within ${LOOK_MS} ms`)));
    late.promise.catch(() => {});
    try {
      await Promise.race([check(signal), late.promise]);
      reached.set({ part: labels[need] }, 1);
      return undefined;
    } catch (error) {
      reached.set({ part: labels[need] }, 0);
      const where = need === "the control plane" ? ` at ${controlPlane}` : "";
      return `${need}${where} cannot be reached: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  async function lookAtAll(): Promise<string[]> {
    const all = await Promise.all((Object.keys(labels) as Need[]).map(look));
    return all.filter((why) => why !== undefined);
  }

  return {
    needs: (need, check) => void checks.set(need, check),
    watched: (link) => ({
      heartbeat: link.heartbeat,
      report: link.report,
      async *connect(request, signal) {
        try {
          for await (const response of link.connect(request, signal)) {
            if (response.synced) connected.set(1);
            yield response;
          }
        } finally {
          connected.set(0);
        }
      },
    }),
    leading: (work) => async (signal) => {
      leads.set(1);
      try {
        await work(signal);
      } finally {
        leads.set(0);
      }
    },
    async ready() {
      const away = await lookAtAll();
      if (away.length > 0) throw new Error(away.join("; "));
    },
    async http(req) {
      if (req.url?.startsWith("/metrics")) await lookAtAll();
      return false;
    },
  };
}

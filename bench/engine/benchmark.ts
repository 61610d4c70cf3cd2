/** The engine on one machine: a server of the benchmark's own, or one that runs already. */
import type { Benchmark, Figures, Scenario, Targets } from "../scenario.ts";
import { databaseOf, startServer } from "../server.ts";
import { connectWire, type Wire } from "../wire.ts";
import { chain, fanOut, manyRuns } from "./scenarios.ts";

export async function engineBenchmark(options: { endpoint?: string | undefined }): Promise<Benchmark> {
  const server = options.endpoint ? undefined : await startServer();
  const endpoint = options.endpoint ?? server?.url ?? "";
  const wire = connectWire(endpoint);
  const scenario = (about: string, targets: Targets, run: (wire: Wire) => Promise<Figures>): Scenario => ({
    about,
    targets,
    run: async () => ({ settings: { endpoint, database: await databaseOf(wire) }, figures: await run(wire) }),
  });
  return {
    scenarios: {
      "fan-out": scenario(
        "one run, 20,000 core-sleep(0) children enqueued by 64 callers",
        { "actions/s": { atLeast: 1200 }, "server RSS MB growth": { atMost: 60 } },
        (on) => fanOut(on, { count: 20_000, callers: 64 }),
      ),
      chain: scenario("500 core-sleep(0) children, one at a time", { "hop ms p50": { atMost: 5 } }, (on) =>
        chain(on, { hops: 500 }),
      ),
      runs: scenario("2,000 runs of one core-sleep(0), 64 in flight", { "runs/s": { atLeast: 400 } }, (on) =>
        manyRuns(on, { count: 2000, inFlight: 64 }),
      ),
    },
    async close() {
      wire.close();
      await server?.stop();
    },
  };
}

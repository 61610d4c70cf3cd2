/**
 * `npm run bench -- engine [--endpoint URL] [--json] [--only fan-out,chain,runs]`: drives a running server over its public
 * wire from a process of its own. Without an endpoint it starts one with `flyte-ts up` on a new data directory.
 */
import { parseArgs } from "node:util";
import { chain, type Figures, fanOut, manyRuns } from "./engine/scenarios.ts";
import { startServer } from "./server.ts";
import { connectWire, type Wire } from "./wire.ts";

const scenarios: Record<string, { about: string; run(wire: Wire): Promise<Figures> }> = {
  "fan-out": {
    about: "one run, 20,000 core-sleep(0) children enqueued by 64 callers",
    run: (wire) => fanOut(wire, { count: 20_000, callers: 64 }),
  },
  chain: { about: "500 core-sleep(0) children, one at a time", run: (wire) => chain(wire, { hops: 500 }) },
  runs: {
    about: "2,000 runs of one core-sleep(0), 64 in flight",
    run: (wire) => manyRuns(wire, { count: 2000, inFlight: 64 }),
  },
};

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { endpoint: { type: "string" }, json: { type: "boolean" }, only: { type: "string" } },
  });
  if (positionals.length !== 1 || positionals[0] !== "engine") {
    process.stderr.write("usage: npm run bench -- engine [--endpoint URL] [--json] [--only fan-out,chain,runs]\n");
    return 2;
  }
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !(name in scenarios));
  if (unknown) {
    process.stderr.write(`bench: there is no scenario ${unknown}; choose from ${Object.keys(scenarios).join(", ")}\n`);
    return 2;
  }
  const server = values.endpoint ? undefined : await startServer();
  const endpoint = values.endpoint ?? server?.url ?? "";
  const wire = connectWire(endpoint);
  try {
    const durable = await settings(wire);
    if (!values.json) process.stdout.write(`${endpoint}: ${durable}\n`);
    const results: Record<string, Figures> = {};
    for (const [name, { about, run }] of Object.entries(scenarios)) {
      if (only && !only.includes(name)) continue;
      const figures = await run(wire);
      results[name] = figures;
      if (!values.json) process.stdout.write(`\n${name}: ${about}\n${table(figures)}`);
    }
    if (values.json) process.stdout.write(`${JSON.stringify({ endpoint, database: durable, results })}\n`);
    return 0;
  } finally {
    wire.close();
    await server?.stop();
  }
}

/** The database and its durable settings, as the server's own metrics state them. */
async function settings(wire: Wire): Promise<string> {
  for (const name of (await wire.metrics()).keys()) {
    if (name.startsWith("flyte_database_info")) return name.slice(name.indexOf("{") + 1, -1);
  }
  return "unknown database";
}

function table(figures: Figures): string {
  const width = Math.max(...Object.keys(figures).map((key) => key.length));
  return Object.entries(figures)
    .map(([key, value]) => `  ${key.padEnd(width)}  ${Number.isInteger(value) ? value : value.toFixed(2)}\n`)
    .join("");
}

process.exitCode = await main(process.argv.slice(2));

/**
 * `npm run bench -- engine|kube [--json] [--only NAME,…]`: puts load on a running server over its public wire, from a
 * process of its own. What is not there yet (server, executor, test cluster) is started, and ended afterwards.
 */
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { engineBenchmark } from "./engine/benchmark.ts";
import { kubeBenchmark } from "./kube/benchmark.ts";
import { type Benchmark, measure, type Result, text } from "./scenario.ts";

const usage = `usage: npm run bench -- engine [--endpoint URL] [--json] [--only fan-out,chain,runs]
       npm run bench -- kube [--count N] [--cpu-prof DIR] [--json] [--only lifecycle,live-pods,pod-overhead]
`;

const options = {
  endpoint: { type: "string" },
  json: { type: "boolean" },
  only: { type: "string" },
  count: { type: "string" },
  "cpu-prof": { type: "string" },
} as const;

type Flags = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

const benchmarks: Readonly<Record<string, (flags: Flags) => Promise<Benchmark>>> = {
  engine: engineBenchmark,
  kube: async (flags) => kubeBenchmark({ count: flags.count, cpuProf: flags["cpu-prof"] }),
};

async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
  const [name = "", ...rest] = positionals;
  const open = rest.length === 0 ? benchmarks[name] : undefined;
  if (!open) {
    process.stderr.write(usage);
    return 2;
  }
  const benchmark = await open(values);
  try {
    const { scenarios } = benchmark;
    const chosen = values.only?.split(",") ?? Object.keys(scenarios);
    const unknown = chosen.find((one) => !(one in scenarios));
    if (unknown !== undefined) {
      process.stderr.write(
        `bench: there is no scenario ${unknown}; choose from ${Object.keys(scenarios).join(", ")}\n`,
      );
      return 2;
    }
    const machine = { cores: cpus().length, memoryMb: Math.round(totalmem() / (1 << 20)), node: process.version };
    if (!values.json) process.stdout.write(`${machine.cores} cores, ${machine.memoryMb} MB, Node ${machine.node}\n`);
    const results: Record<string, Result> = {};
    for (const [key, scenario] of Object.entries(scenarios)) {
      if (!chosen.includes(key)) continue;
      const result = await measure(scenario);
      results[key] = result;
      if (!values.json) process.stdout.write(`\n${key}: ${scenario.about}\n${text(result)}`);
    }
    if (values.json) process.stdout.write(`${JSON.stringify({ benchmark: name, machine, results })}\n`);
    return 0;
  } finally {
    await benchmark.close();
  }
}

// What was started is ended on exit.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main(process.argv.slice(2));

/** A scenario, its figures and what is wanted of them; how they are told to people. */
import { loadavg } from "node:os";

/** Plain numbers, with units in their names. */
export type Figures = Record<string, number>;

/** By the name of a figure. */
export type Targets = Readonly<Record<string, { atLeast: number } | { atMost: number }>>;

export interface Scenario {
  about: string;
  targets: Targets;
  run(): Promise<{ settings: Record<string, string>; figures: Figures }>;
}

export interface Benchmark {
  scenarios: Readonly<Record<string, Scenario>>;
  close(): Promise<void>;
}

export interface Result {
  settings: Record<string, string>;
  /** Of the machine, over a minute, as it began and as it ended. */
  load: { before: number; after: number };
  figures: Figures;
  targets: Record<string, { wanted: string; met: boolean }>;
}

export async function measure({ run, targets }: Scenario): Promise<Result> {
  const before = load();
  const { settings, figures } = await run();
  return { settings, load: { before, after: load() }, figures, targets: verdicts(targets, figures) };
}

function load(): number {
  return loadavg()[0] ?? Number.NaN;
}

function verdicts(targets: Targets, figures: Figures): Result["targets"] {
  const entries = Object.entries(targets).map(([name, target]) => {
    const value = figures[name] ?? Number.NaN;
    const [wanted, met] =
      "atLeast" in target
        ? [`≥ ${target.atLeast}`, value >= target.atLeast]
        : [`≤ ${target.atMost}`, value <= target.atMost];
    return [name, { wanted, met }] as const;
  });
  return Object.fromEntries(entries);
}

export function text({ settings, load, figures, targets }: Result): string {
  const width = Math.max(...Object.keys(figures).map((key) => key.length));
  const lines = Object.entries(settings).map(([name, value]) => `  ${name}: ${value}`);
  lines.push(`  load of the machine: ${load.before.toFixed(2)} before, ${load.after.toFixed(2)} after`);
  for (const [name, value] of Object.entries(figures)) {
    const target = targets[name];
    const verdict = target ? `  (wanted ${target.wanted}: ${target.met ? "met" : "missed"})` : "";
    lines.push(`  ${name.padEnd(width)}  ${Number.isInteger(value) ? value : value.toFixed(2)}${verdict}`);
  }
  return `${lines.join("\n")}\n`;
}

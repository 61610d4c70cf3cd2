/** A run as a person wants to see it: one line an action, below its parent, with phase and duration. */
import type { ActionRow } from "../support/runs.ts";

const CACHE_HIT = 2;

export interface TreeOptions {
  colours: boolean;
}

/** Actions of one group and task that did the same thing in one attempt each share a line. */
export function renderTree(rows: readonly ActionRow[], options: TreeOptions): string {
  const lines: [string, string, string, string][] = [];
  const visit = (parent: string, prefix: string) => {
    const entries = gather(rows.filter((row) => row.parent === parent && row.name !== parent));
    entries.forEach((entry, index) => {
      const last = index === entries.length - 1;
      const branch = parent === "" ? "" : `${prefix}${last ? "└─ " : "├─ "}`;
      const [row] = entry as [ActionRow];
      lines.push([`${branch}${title(row)}${entry.length > 1 ? ` ×${entry.length}` : ""}`, ...columns(entry, options)]);
      for (const { name } of entry) visit(name, parent === "" ? "" : `${prefix}${last ? "   " : "│  "}`);
    });
  };
  visit("", "");
  const width = Math.max(...lines.map(([text]) => text.length));
  return lines
    .map(([text, phase, time, note]) => `  ${text.padEnd(width)}  ${phase}  ${time.padStart(7)}  ${note}`.trimEnd())
    .map((line) => `${line}\n`)
    .join("");
}

function title({ task, shortName }: ActionRow): string {
  return shortName || (task.split(".").at(-1) ?? task);
}

/** Siblings that differ in nothing but their name and times. */
function gather(rows: ActionRow[]): ActionRow[][] {
  const entries = new Map<string, ActionRow[]>();
  for (const row of rows) {
    const key = [
      row.task,
      row.shortName,
      row.group,
      row.phase,
      row.attempts > 1 ? row.name : "",
      row.cacheStatus,
    ].join();
    entries.set(key, [...(entries.get(key) ?? []), row]);
  }
  return [...entries.values()];
}

function columns(entry: ActionRow[], { colours }: TreeOptions): [string, string, string] {
  const [row] = entry as [ActionRow];
  const good = row.phase === "SUCCEEDED" || row.phase === "RECOVERED";
  const phase = row.phase.toLowerCase().padEnd(9);
  const start = Math.min(...entry.map(({ startMs }) => startMs));
  const end = Math.max(...entry.map(({ endMs, startMs }) => endMs ?? startMs));
  const notes = [
    ...(row.cacheStatus === CACHE_HIT ? ["answered by the cache"] : []),
    ...(row.attempts > 1 ? [`${row.attempts} attempts`] : []),
    ...(entry.length > 1 ? ["side by side"] : []),
  ];
  return [
    colours ? `\x1b[${good ? 32 : 31}m${phase}\x1b[0m` : phase,
    `${((end - start) / 1000).toFixed(2)} s`,
    notes.join(", "),
  ];
}

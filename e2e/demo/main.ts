/**
 * `npm run demo [-- --port PORT] [--keep]`: a Python workflow on a server of its own, from the official command line to
 * the result. Everything lives in a temporary folder that goes at the end; exit code 0 only if the run succeeded.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isTerminal } from "@flyte-ts/core";
import { clientEnvironment, runCommand, writeConfig } from "../support/python.ts";
import { actionsOf, detailsOf, errorOf, outputsOf } from "../support/runs.ts";
import { python, type Scope, startServer } from "../support/server.ts";
import { waitFor } from "../support/wait.ts";
import { connectWire, type Wire } from "../support/wire.ts";
import { renderTree } from "./tree.ts";

const folder = dirname(fileURLToPath(import.meta.url));
const usage = "usage: npm run demo -- [--port PORT] [--keep]\n";
const interactive = process.stdout.isTTY === true;
const say = (text: string) => void process.stdout.write(text);

/** What the demo leaves to be undone, in reverse. */
function scope(): Scope & { end(): Promise<void> } {
  const hooks: (() => Promise<void>)[] = [];
  return {
    after: (hook) => void hooks.push(hook),
    async end() {
      for (let hook = hooks.pop(); hook; hook = hooks.pop()) await hook();
    },
  };
}

async function main(args: string[]): Promise<number> {
  let values: { port?: string | undefined; keep?: boolean | undefined };
  try {
    values = parseArgs({ args, options: { port: { type: "string" }, keep: { type: "boolean" } } }).values;
  } catch (error) {
    process.stderr.write(`demo: ${(error as Error).message}\n${usage}`);
    return 2;
  }
  const stop = new AbortController();
  const undo = scope();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      // The second one is meant: no more waiting for an orderly end.
      if (stop.signal.aborted) process.exit(130);
      stop.abort();
    });
  }
  const orStopped = <T>(work: Promise<T>) => Promise.race([work, stopped(stop.signal)]);
  try {
    const place = await orStopped(serve(undo, values.port ?? "0"));
    const code = await orStopped(play(place, stop.signal)).catch(failed);
    if (values.keep && !stop.signal.aborted) await stay(place, stop.signal);
    return code;
  } catch (error) {
    return failed(error);
  } finally {
    await undo.end();
  }
}

/** Says the cause; gives the exit code. */
function failed(error: unknown): number {
  process.stderr.write(`\ndemo: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
}

interface Place {
  url: string;
  dataDir: string;
  /** Home and configuration of the Python client. */
  home: string;
  config: string;
}

async function serve(undo: Scope, port: string): Promise<Place> {
  say("Starting Flyte: PostgreSQL, object store, control plane and executor in one process …\n");
  const started = performance.now();
  const { url, dataDir } = await startServer(undo, { args: ["--port", port] });
  say(`  ready at ${url} after ${seconds(started)}\n\n`);

  const home = await mkdtemp(join(tmpdir(), "flyte-ts-demo-"));
  undo.after(() => rm(home, { recursive: true, force: true }));
  const config = join(home, "config.yaml");
  await writeConfig(config, url);
  return { url, dataDir, home, config };
}

/** Runs the workflow and shows how it went. Throws when it did not succeed. */
async function play({ url, home, config }: Place, signal: AbortSignal): Promise<number> {
  say("Running a Python workflow with the official command line:\n  flyte run workflow.py main --orders 10\n");
  const flyte = join(dirname(python), "flyte");
  const begun = performance.now();
  const ran = await runCommand(
    flyte,
    ["-c", config, "run", "--name", "demo", "workflow.py", "main", "--orders", "10"],
    { cwd: folder, env: clientEnvironment(home, config), signal },
  );
  const wire = connectWire(url);
  const made = await detailsOf(wire, "demo").catch(() => undefined);
  if (!made) throw new Error(`the command line made no run: ${lastLine(ran.stderr || ran.stdout)}`);
  await watch(wire);
  if (interactive) say("\r\x1b[K");
  say(`  ended after ${seconds(begun)}\n\n`);
  say(renderTree(await actionsOf(wire, "demo"), { colours: interactive }));

  const error = await errorOf(wire, "demo");
  if (error) throw new Error(`the run failed: ${error.code}: ${lastLine(error.message)}`);
  const [result] = await outputsOf(wire, "demo");
  say(`\nResult: ${String(result)}\n`);
  return 0;
}

/** Until the run has ended, how far it is. */
async function watch(wire: Wire): Promise<void> {
  let shown = "";
  await waitFor(
    async () => {
      const rows = await actionsOf(wire, "demo");
      const line = `  ${rows.filter(({ ended }) => ended).length} of ${rows.length} actions done`;
      if (line !== shown && interactive) say(`\r${line}\x1b[K`);
      shown = line;
      return isTerminal((await detailsOf(wire, "demo")).status?.phase ?? 0);
    },
    { what: "the end of the run", everyMs: 150 },
  );
}

/** `--keep`: the server goes on until the person has seen enough. */
async function stay({ url, dataDir, config }: Place, signal: AbortSignal): Promise<void> {
  say(`\nThe server goes on:\n  server   ${url}\n  config   ${config}\n  data     ${dataDir}\n`);
  say(`Try: ${join(dirname(python), "flyte")} -c ${config} get action demo\n`);
  say(`Stop it with Ctrl+C (or kill ${process.pid}).\n`);
  await new Promise<void>((resolve) => {
    // Keeps this process alive while nothing else does.
    const alive = setInterval(() => undefined, 60_000);
    signal.addEventListener("abort", () => {
      clearInterval(alive);
      resolve();
    });
  });
  say("\nStopping …\n");
}

function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("stopped")), { once: true });
  });
}

const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

function lastLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.at(-1)?.trim() ?? "it said nothing";
}

// When it was stopped in the middle, something may still wait for an answer that will not come.
process.exit(await main(process.argv.slice(2)));

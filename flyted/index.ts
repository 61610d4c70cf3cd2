/**
 * Compositions of the rooms into servers. The command line starts them; nobody else imports this.
 */
import { ConfigError, loadConfig, redacted } from "@flyte-ts/platform/config";
import { createLogger } from "@flyte-ts/platform/telemetry";
import { startAllInOne } from "./all-in-one.ts";
import { readyScreen, startupCause } from "./screen.ts";

export interface RunOptions {
  /** Flags of the command line, in its own spelling (`data-dir`). */
  flags: Readonly<Record<string, string | boolean | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Aborted to stop the server. */
  signal: AbortSignal;
}

const keyOfFlag: Record<string, string> = {
  port: "port",
  host: "host",
  "data-dir": "dataDir",
  "database-url": "databaseUrl",
  "object-store": "objectStore.url",
  python: "python",
  config: "config",
  open: "open",
};

/** Serves until `signal` is aborted; the exit code tells whether that went well. Problems are told in one line. */
export async function runAllInOne({ flags, env, cwd, stdout, stderr, signal }: RunOptions): Promise<number> {
  const argvFlags = Object.fromEntries(Object.entries(keyOfFlag).map(([flag, key]) => [key, flags[flag]]));
  try {
    const config = loadConfig({ argvFlags, env, cwd });
    const quiet = flags.json !== true;
    const log = createLogger({
      level: quiet ? "warn" : config.logs.level,
      format: quiet ? "pretty" : config.logs.format,
    });
    log.info({ config: redacted(config) }, "configuration");
    const onStep = (step: string) => quiet && stderr(`${step} …\n`);
    const server = await startAllInOne({ config, log, onStep });
    try {
      const ready = { event: "ready", url: server.url, console: `${server.url}/v2`, pid: process.pid };
      stdout(quiet ? readyScreen(server, config, cwd) : `${JSON.stringify(ready)}\n`);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      if (quiet) stderr("stopping; tasks that run go on and are taken over at the next start …\n");
    } finally {
      await server.stop();
    }
    return 0;
  } catch (error) {
    const { text, known } = startupCause(error);
    stderr(`flyte-ts: ${text}\n`);
    if (!known && error instanceof Error && error.stack) stderr(`${error.stack}\n`);
    return error instanceof ConfigError ? 2 : 1;
  }
}

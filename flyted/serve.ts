/** Runs a composition for the command line: configuration, start, the word that it is ready, and a stop in order. */
import { ConfigError, type ConfigSources, redacted } from "@flyte-ts/platform/config";
import { createLogger, type Logger, type LoggerOptions } from "@flyte-ts/platform/telemetry";
import { startupCause } from "./screen.ts";

export interface ServeOptions {
  /** Flags of the command line, in its own spelling (`data-dir`). */
  flags: Readonly<Record<string, string | boolean | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Aborted to stop the server. */
  signal: AbortSignal;
}

/** `failed` rejects when the server's work ends by itself: then the program ends too, for whoever starts it again. */
export type Served = { stop(): Promise<void>; failed: Promise<never> };

export interface Composition<Config, Server extends Served> {
  /** The key that each flag stands for. */
  flags: Readonly<Record<string, string>>;
  load(sources: ConfigSources): Config;
  start(options: { config: Config; log: Logger; onStep(step: string): void; signal: AbortSignal }): Promise<Server>;
  /** For `--json`: what those who started it must know. */
  ready(server: Server): Record<string, string>;
  /** The same for people. */
  screen(server: Server, config: Config): string;
  /** Said when it is told to stop. */
  farewell: string;
}

type Printable = Parameters<typeof redacted>[0] & { logs: Required<Pick<LoggerOptions, "level" | "format">> };

/** Serves until `signal` is aborted; the exit code tells whether that went well. Problems are told in one line. */
export async function serve<Config extends Printable, Server extends Served>(
  { flags, env, cwd, stdout, stderr, signal }: ServeOptions,
  composition: Composition<Config, Server>,
): Promise<number> {
  const argvFlags = Object.fromEntries(Object.entries(composition.flags).map(([flag, key]) => [key, flags[flag]]));
  try {
    const config = composition.load({ argvFlags, env, cwd });
    const quiet = flags.json !== true;
    const log = createLogger({
      level: quiet ? "warn" : config.logs.level,
      format: quiet ? "pretty" : config.logs.format,
    });
    log.info({ config: redacted(config) }, "configuration");
    const onStep = (step: string) => quiet && stderr(`${step} …\n`);
    const server = await composition.start({ config, log, onStep, signal });
    try {
      const ready = { event: "ready", ...composition.ready(server), pid: process.pid };
      stdout(quiet ? composition.screen(server, config) : `${JSON.stringify(ready)}\n`);
      const told = new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      await Promise.race([told, server.failed]);
      if (quiet) stderr(`${composition.farewell}\n`);
    } finally {
      await server.stop();
    }
    return 0;
  } catch (error) {
    // Told to stop while it was starting: that is no failure.
    if (signal.aborted) return 0;
    const { text, known } = startupCause(error);
    stderr(`flyte-ts: ${text}\n`);
    if (!known && error instanceof Error && error.stack) stderr(`${error.stack}\n`);
    return error instanceof ConfigError ? 2 : 1;
  }
}

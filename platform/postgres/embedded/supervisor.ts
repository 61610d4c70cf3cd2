/**
 * Keeps one server running: waits until it accepts connections, starts it again with backoff when it dies, and stops it
 * in an orderly way. The first start must succeed; later ones are repeated for as long as it takes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import type { Layout } from "./layout.ts";
import { openServerLog, readFrom, sizeOf } from "./server-log.ts";
import { type Exit, type ProgramStart, type ServerProcess, startProgram } from "./server-process.ts";
import type { ServerLog } from "./start-embedded-postgres.ts";
import { readLockFile, stopSurvivor } from "./takeover.ts";

export interface Supervisor {
  readonly pid: number | undefined;
  readonly done: Promise<void>;
  stop(): Promise<void>;
}

export type SupervisorInput = Omit<ProgramStart, "output"> & {
  readonly layout: Layout;
  readonly socketLock: string;
  readonly log: ServerLog;
};

const pollMs = 10;
const slowStartMs = 10_000;
const firstDelayMs = 100;
const longestDelayMs = 10_000;
/** A server that ran this long was healthy, so the next restart is quick again. */
const healthyMs = 30_000;
/** After a kill -9 of the main process its children need a moment to notice and let go of the shared memory. */
const leftoverMemory = /pre-existing shared memory block/;
const leftoverWaitMs = 20_000;
const fastShutdownMs = 20_000;
const immediateShutdownMs = 5_000;

export async function superviseServer(input: SupervisorInput): Promise<Supervisor> {
  const { layout, log } = input;
  const stopping = new AbortController();
  let current: ServerProcess | undefined;
  // Reached when the process ends without stop(); a leftover would only be replaced at the next start.
  const end = () => current?.child.kill("SIGINT");
  process.once("exit", end);
  try {
    await startReady();
  } catch (error) {
    process.off("exit", end);
    throw error;
  }
  const done = supervise().finally(() => process.off("exit", end));

  async function startReady(): Promise<ServerProcess> {
    const deadline = Date.now() + leftoverWaitMs;
    for (let delay = firstDelayMs; ; delay = Math.min(delay * 2, 1_000)) {
      const before = await sizeOf(layout.logFile);
      const output = await openServerLog(layout.logFile);
      const server = await startProgram({ ...input, output }).finally(() => output.close());
      current = server;
      if (stopping.signal.aborted) server.child.kill("SIGINT");
      const exit = await untilReady(server);
      if (exit === undefined) return server;
      current = undefined;
      const said = await readFrom(layout.logFile, before);
      if (leftoverMemory.test(said) && Date.now() < deadline && !stopping.signal.aborted) {
        await sleep(delay);
        continue;
      }
      throw new EmbeddedPostgresError(
        `PostgreSQL ended while starting (${exit.signal ?? `code ${exit.code}`}): ${fatalLine(said)} See ${layout.logFile}.`,
      );
    }
  }

  /** Undefined when it accepts connections, or how it ended. Recovery after a crash may take long; it is not hurried. */
  async function untilReady(server: ServerProcess): Promise<Exit | undefined> {
    let exit: Exit | undefined;
    void server.exited.then((value) => {
      exit = value;
    });
    const started = Date.now();
    let warned = false;
    while (exit === undefined) {
      const lock = await readLockFile(layout.cluster);
      if (lock?.pid === server.pid && lock.ready) return undefined;
      if (!warned && Date.now() - started > slowStartMs) {
        warned = true;
        log.warn({ logFile: layout.logFile }, "PostgreSQL takes long to start, probably recovering from a crash");
      }
      await sleep(pollMs);
    }
    return exit;
  }

  async function supervise(): Promise<void> {
    let delay = firstDelayMs;
    while (!stopping.signal.aborted) {
      const since = Date.now();
      if (current !== undefined) {
        const { code, signal } = await current.exited;
        current = undefined;
        if (stopping.signal.aborted) return;
        log.error({ code, signal, logFile: layout.logFile }, "PostgreSQL died and is started again");
      }
      if (Date.now() - since > healthyMs) delay = firstDelayMs;
      await sleep(delay, undefined, { signal: stopping.signal }).catch(() => {});
      delay = Math.min(delay * 2, longestDelayMs);
      if (stopping.signal.aborted) return;
      try {
        await stopSurvivor(layout.cluster, input.socketLock);
        const server = await startReady();
        log.info({ pid: server.pid }, "PostgreSQL is back");
      } catch (error) {
        if (!stopping.signal.aborted) log.error({ err: error }, "PostgreSQL cannot be started again yet");
      }
    }
    await current?.exited;
  }

  async function stop(): Promise<void> {
    stopping.abort();
    for (const [signal, ms] of [
      ["SIGINT", fastShutdownMs],
      ["SIGQUIT", immediateShutdownMs],
      ["SIGKILL", immediateShutdownMs],
    ] as const) {
      current?.child.kill(signal);
      const timeout = new AbortController();
      const ended = await Promise.race([
        done.then(() => true),
        sleep(ms, false, { signal: timeout.signal }).catch(() => false),
      ]);
      timeout.abort();
      if (ended) return;
      log.warn({ pid: current?.pid, signal }, "PostgreSQL did not end in time");
    }
    await done;
  }

  return {
    get pid() {
      return current?.pid;
    },
    done,
    stop,
  };
}

/** The line that says why, without time stamp and process id. */
function fatalLine(text: string): string {
  const lines = text.trim().split("\n");
  const line = lines.findLast((each) => /FATAL|PANIC|ERROR|error while loading/.test(each)) ?? lines.at(-1) ?? "";
  const reason = line.replace(/^.*?(FATAL|PANIC|ERROR):\s*/, "");
  return reason.endsWith(".") ? reason : `${reason}.`;
}

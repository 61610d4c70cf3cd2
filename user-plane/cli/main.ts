/**
 * The program `flyte-ts`: joins the command line with this process. A first SIGINT, SIGTERM or SIGHUP asks the verb to
 * end; a second one ends the process at once.
 */
import { runCli } from "./cli.ts";

const stop = new AbortController();
for (const [name, number] of [
  ["SIGHUP", 1],
  ["SIGINT", 2],
  ["SIGTERM", 15],
] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(128 + number);
    stop.abort(name);
  });
}
// A reader that went away (`flyte-ts … | head`) is no fault of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  signal: stop.signal,
});

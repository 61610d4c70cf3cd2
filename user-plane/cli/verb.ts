/**
 * What a verb of the command line is. A verb is one file in `verbs/` that exports `verb`; its file name is its name.
 *
 * @example
 * export const verb: Verb = {
 *   name: "greet",
 *   summary: "say hello",
 *   usage: "greet [--loud] NAME",
 *   options: { loud: { type: "boolean", help: "in capitals" } },
 *   positionals: 1,
 *   async run({ positionals: [name], flags }, io) {
 *     io.stdout(`${flags.loud ? "HELLO" : "Hello"} ${name}\n`);
 *     return 0;
 *   },
 * };
 */

/** One option; `help` is its line in `flyte-ts <verb> --help`, `value` the word shown for its value. */
export interface VerbOption {
  type: "string" | "boolean";
  short?: string;
  value?: string;
  help: string;
}

/** The flags that were given, by name; an option not given is absent. */
export type Flags = Record<string, string | boolean | undefined>;

export interface VerbArgs {
  flags: Flags;
  positionals: string[];
}

/** What a verb may use of the world. */
export interface Io {
  env: Record<string, string | undefined>;
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** Aborted by SIGINT, SIGTERM or SIGHUP: end what you do and return. */
  signal: AbortSignal;
}

export interface Verb {
  name: string;
  summary: string;
  /** The command line after `flyte-ts `. */
  usage: string;
  options: Record<string, VerbOption>;
  /** How many positional arguments are allowed; 0 when left out. */
  positionals?: number;
  /** Returns the exit code: 0 done, 1 failed, 2 wrong usage. */
  run(args: VerbArgs, io: Io): Promise<number>;
}

/** Wrong use of the command line: the message is printed with the way to the help, and the exit code is 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Refuses a value of this flag that is no port. */
export function checkPort(flags: Flags, name: string): void {
  const port = flags[name];
  if (port !== undefined && !(/^\d{1,5}$/.test(String(port)) && Number(port) <= 65535)) {
    throw new UsageError(`--${name} must be a number from 0 to 65535, not ${JSON.stringify(port)}`);
  }
}

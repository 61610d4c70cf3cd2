/**
 * The command line as a function: arguments in, exit code out. `main.ts` is the program around it.
 */
import { parseArgs } from "node:util";
import { overview, verbHelp } from "./help.ts";
import { type Io, UsageError, type Verb, type VerbArgs } from "./verb.ts";
import { allVerbs, loadVerb, nearest, verbNames } from "./verbs.ts";

/** Runs `flyte-ts <argv>`; returns the exit code: 0 done, 1 failed, 2 wrong usage. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const [word, ...rest] = argv;
  if (word === undefined) {
    io.stderr(overview(await allVerbs()));
    return 2;
  }
  if (word === "--help" || word === "-h") return runCli(["help", ...rest], io);
  if (word === "--version" || word === "-V") return runCli(["version", ...rest], io);

  const names = await verbNames();
  if (!names.includes(word)) {
    const meant = nearest(word, names);
    const hint = meant === undefined ? "flyte-ts --help lists all verbs" : `did you mean flyte-ts ${meant}?`;
    io.stderr(
      `flyte-ts: unknown ${word.startsWith("-") ? "option" : "verb"} ${JSON.stringify(word)}\n  next: ${hint}\n`,
    );
    return 2;
  }
  const verb = await loadVerb(word);
  if (asksForHelp(rest)) {
    io.stdout(verbHelp(verb));
    return 0;
  }
  try {
    return await verb.run(parse(verb, rest), io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr(`flyte-ts ${verb.name}: ${error.message}\n  next: flyte-ts ${verb.name} --help\n`);
    return 2;
  }
}

function asksForHelp(argv: readonly string[]): boolean {
  const own = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  return own.includes("--help") || own.includes("-h");
}

function parse(verb: Verb, argv: string[]): VerbArgs {
  const options = Object.fromEntries(
    Object.entries(verb.options).map(([name, { type, short }]) => [
      name,
      short === undefined ? { type } : { type, short },
    ]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: argv, options, allowPositionals: true, strict: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(firstSentence(error.message));
  }
  const allowed = verb.positionals ?? 0;
  const extra = parsed.positionals[allowed];
  if (extra !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`);
  return { flags: parsed.values as VerbArgs["flags"], positionals: parsed.positionals };
}

// Node appends advice on positional arguments that begin with a dash; it does not fit our options.
function firstSentence(message: string): string {
  const text = message.split(". ")[0] ?? message;
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}

/**
 * `flyte-ts help [VERB]`: all verbs, or one of them.
 */
import { overview, verbHelp } from "../help.ts";
import { UsageError, type Verb } from "../verb.ts";
import { allVerbs } from "../verbs.ts";

export const verb: Verb = {
  name: "help",
  summary: "list the verbs, or tell more about one",
  usage: "help [VERB]",
  options: {},
  positionals: 1,
  async run({ positionals: [name] }, io) {
    const verbs = await allVerbs();
    const one = verbs.find((candidate) => candidate.name === name);
    if (name !== undefined && one === undefined) throw new UsageError(`unknown verb ${JSON.stringify(name)}`);
    io.stdout(one === undefined ? overview(verbs) : verbHelp(one));
    return 0;
  },
};

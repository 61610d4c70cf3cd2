/**
 * `flyte-ts up`: Flyte on this machine, all in one process. Returns when it was told to stop and has drained.
 */
import { checkPort, type Verb } from "../verb.ts";

export const verb: Verb = {
  name: "up",
  summary: "start Flyte on this machine: control plane, database, object store and executor in one",
  usage: "up [options]",
  options: {
    port: { type: "string", value: "PORT", help: "port of the API; 0 takes a free one (default 8642)" },
    host: { type: "string", value: "HOST", help: "address to listen on (default 127.0.0.1)" },
    "data-dir": { type: "string", value: "DIR", help: "where database, objects and logs live (default .flyte-ts)" },
    "database-url": { type: "string", value: "URL", help: "a PostgreSQL ≥ 15 to use instead of the embedded one" },
    "object-store": { type: "string", value: "URL", help: "an S3 bucket (s3://…) to use instead of the data dir" },
    python: { type: "string", value: "PATH", help: "the Python that runs Python tasks (default: our own .venv)" },
    config: { type: "string", value: "FILE", help: "configuration file; flags win over it" },
    open: { type: "boolean", help: "allow to listen beyond loopback although there is no authentication" },
    json: { type: "boolean", help: "print one line of JSON when ready, instead of the screen" },
  },
  async run({ flags }, io) {
    checkPort(flags, "port");
    // Loaded here and not above: the other verbs start without the whole server.
    const { runAllInOne } = await import("@flyte-ts/flyted");
    return runAllInOne({ flags, ...io });
  },
};

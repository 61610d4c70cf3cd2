/**
 * `flyte-ts control-plane`: the control plane alone, one replica of it. Returns when it was told to stop and has drained.
 */
import { checkPort, type Verb } from "../verb.ts";

export const verb: Verb = {
  name: "control-plane",
  summary: "start one replica of the control plane on a PostgreSQL and an S3 bucket; executors dial in",
  usage: "control-plane --database-url URL --object-store URL [options]",
  options: {
    "database-url": { type: "string", value: "URL", help: "a PostgreSQL ≥ 15 (or DATABASE_URL)" },
    "object-store": { type: "string", value: "URL", help: "an S3 bucket (s3://…)" },
    port: { type: "string", value: "PORT", help: "port of the API; 0 takes a free one (default 8642)" },
    host: { type: "string", value: "HOST", help: "address to listen on (default 127.0.0.1)" },
    config: { type: "string", value: "FILE", help: "configuration file; flags win over it" },
    open: { type: "boolean", help: "allow to listen beyond loopback although there is no authentication" },
    json: { type: "boolean", help: "print one line of JSON when ready, instead of the screen" },
  },
  async run({ flags }, io) {
    checkPort(flags, "port");
    const { runControlPlane } = await import("@flyte-ts/flyted");
    return runControlPlane({ flags, ...io });
  },
};

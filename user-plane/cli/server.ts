/** The server that verbs talk to, and what to say when it does not answer. */
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type Flags, UsageError, type VerbOption } from "./verb.ts";

const DEFAULT_ENDPOINT = "http://127.0.0.1:8642";

/** For the options of a verb. */
export const endpointOption: Record<"endpoint", VerbOption> = {
  endpoint: { type: "string", value: "URL", help: `the server (default FLYTE_TS_ENDPOINT, or ${DEFAULT_ENDPOINT})` },
};

export interface Server {
  endpoint: string;
  transport: Transport;
}

export function serverOf(flags: Flags, env: Readonly<Record<string, string | undefined>>): Server {
  const endpoint = String(flags.endpoint ?? env.FLYTE_TS_ENDPOINT ?? DEFAULT_ENDPOINT);
  if (!/^https?:\/\/\S+$/.test(endpoint)) {
    throw new UsageError(
      `--endpoint must be a URL that begins with http:// or https://, not ${JSON.stringify(endpoint)}`,
    );
  }
  const transport = createConnectTransport({ baseUrl: endpoint, httpVersion: "1.1", defaultTimeoutMs: 30_000 });
  return { endpoint, transport };
}

/** Cause and next step of a call that failed, in two lines; undefined when it is no failed call. */
export function failedCall(error: unknown, { endpoint }: Server): string | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const { code, rawMessage } = error;
  if (code === Code.Unavailable || code === Code.DeadlineExceeded) {
    return `no server answers at ${endpoint} (${rawMessage})\n  next: flyte-ts up starts one, --endpoint names another`;
  }
  if (code === Code.Unimplemented || code === Code.Internal || code === Code.Unknown) {
    return `the server at ${endpoint} could not answer: ${rawMessage}\n  next: see that it is a flyte-ts of this version, and its log`;
  }
  return rawMessage;
}

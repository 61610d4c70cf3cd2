/** A real server on a free port with a small implementation of the contract, and raw HTTP, for this room's tests. */
import { connect, type Socket } from "node:net";
import { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { notFound } from "@flyte-ts/core";
import { type RpcServer, type RpcServerOptions, requestIdOf, startRpcServer } from "./index.ts";

export interface LogLine {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

export interface TestServer extends RpcServer {
  readonly logs: LogLine[];
  /** Signals of the calls that wait for ever: "hang" enqueues and watches. */
  readonly waiting: AbortSignal[];
}

/**
 * `enqueue` behaves by `action.input_uri`: `fail` throws a bug, `gone` an AppError, `db` a database outage, `nul` a value it does not take, `hang` waits
 * for its signal, `slow` waits for `release`; anything else succeeds. `watchForUpdates` sends one message and waits.
 */
export async function testServer(
  options: Partial<RpcServerOptions> = {},
  release: Promise<void> = Promise.resolve(),
): Promise<TestServer> {
  const logs: LogLine[] = [];
  const waiting: AbortSignal[] = [];
  const at = (level: string) => (fields: object, message: string) => {
    logs.push({ level, message, fields: fields as Record<string, unknown> });
  };
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    health: { ready: async () => {} },
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    routes: (router) =>
      router.service(ActionsService, {
        enqueue: async (request, context) => {
          context.responseHeader.set("x-seen-id", requestIdOf(context));
          switch (request.action?.inputUri) {
            case "fail":
              throw new Error("secret detail of a bug");
            case "gone":
              throw notFound("run r1 does not exist", { slug: "run-not-found" });
            case "nul":
              throw Object.assign(new Error("invalid byte sequence: secret"), { code: "22021" });
            case "db":
              throw Object.assign(new Error("connect ECONNREFUSED /secret"), { name: "DatabaseUnavailableError" });
            case "slow":
              waiting.push(context.signal);
              await release;
              return {};
            case "hang":
              waiting.push(context.signal);
              await aborted(context.signal);
              throw context.signal.reason;
            default:
              return {};
          }
        },
        async *watchForUpdates(_request, context) {
          yield { message: { case: "controlMessage", value: { sentinel: true } } };
          waiting.push(context.signal);
          await aborted(context.signal);
        },
      }),
    ...options,
  });
  return Object.assign(Object.create(server) as RpcServer, { ...server, logs, waiting });
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Waits until `condition` holds; the test runner's own timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A valid Enqueue whose behaviour `inputUri` chooses. */
export function enqueueOf(inputUri: string) {
  const run = { org: "", project: "flytesnacks", domain: "development", name: "r1" };
  return {
    action: {
      actionId: { name: "a1", run },
      inputUri,
      runOutputBase: "s3://bucket/out",
      spec: { case: "trace" as const, value: { name: "t", spec: {} } },
    },
  };
}

export const enqueuePath = "/flyteidl2.actions.ActionsService/Enqueue";
export const watchPath = "/flyteidl2.actions.ActionsService/WatchForUpdates";

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** Writes bytes as they are and reads one answer (or, with `untilClosed`, everything). */
export function raw(port: number, bytes: string | Buffer, untilClosed = false): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let text = "";
    const finish = () => {
      socket.destroy();
      const [head = "", ...rest] = text.split("\r\n\r\n");
      const [statusLine = "", ...lines] = head.split("\r\n");
      const headers: Record<string, string> = {};
      for (const line of lines)
        headers[line.slice(0, line.indexOf(":")).toLowerCase()] = line.slice(line.indexOf(":") + 2);
      resolve({ status: Number(statusLine.split(" ")[1] ?? 0), headers, body: rest.join("\r\n\r\n") });
    };
    socket.on("data", (data) => {
      text += data.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      const length = /content-length: (\d+)/i.exec(text)?.[1];
      if (!untilClosed && end !== -1 && length !== undefined && text.length >= end + 4 + Number(length)) finish();
    });
    socket.on("error", (error) => (text === "" ? reject(error) : finish()));
    socket.on("close", finish);
  });
}

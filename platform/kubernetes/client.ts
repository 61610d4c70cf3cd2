/**
 * Calls to one Kubernetes API server.
 *
 *     const client = kubernetesClient({ connection: await loadConnection() });
 *     const pods = client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
 *     await pods.create({ apiVersion: "v1", kind: "Pod", metadata: { name: "a", namespace: "x" }, spec });
 *
 * Promise: whatever fails is a {@link KubernetesError}, except an abort by the caller, which is its signal's reason.
 * What may safely be repeated is, a few times; see retry.ts.
 */
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { errorOfAnswer, errorOfNetwork, KubernetesError, type Target, type Verb } from "./errors.ts";
import type { Connection, Credentials } from "./kubeconfig.ts";
import type { KubeObject } from "./objects.ts";
import { type Resource, type ResourceDefinition, resource } from "./resource.ts";
import { defaultRetry, type RetryPolicy, retryDelayMs } from "./retry.ts";
import { readText, transport } from "./transport.ts";

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Request {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `/api/v1/namespaces/x/pods`; words that come from outside must be encoded. */
  path: string;
  query?: Query;
  /** Sent as JSON. */
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
  /** For messages and retries; without it the path and the method speak. */
  target?: Target;
}

export interface KubernetesClient {
  /** The parsed JSON answer. */
  request<T>(request: Request): Promise<T>;
  /** The answer as text: logs. */
  text(request: Request): Promise<string>;
  /** An answer that goes on: watches, followed logs. Tried once. */
  stream(request: Request): Promise<IncomingMessage>;
  resource<T extends KubeObject>(definition: ResourceDefinition): Resource<T>;
  /** Where the connection's context points. */
  readonly namespace: string;
  readonly server: string;
  /** Ends all connections, those in use too. */
  close(): void;
}

/** One call that has ended, for metrics. */
export interface CallSeen {
  verb: Verb;
  resource: string;
  /** 0 when there was no answer. */
  status: number;
  ms: number;
}

export interface ClientOptions {
  connection: Connection;
  userAgent?: string;
  /** Calls at once; more wait. */
  maxSockets?: number;
  timeoutMs?: number;
  retry?: RetryPolicy;
  random?: () => number;
  onCall?(seen: CallSeen): void;
}

export function kubernetesClient(options: ClientOptions): KubernetesClient {
  const { connection } = options;
  const retry = options.retry ?? defaultRetry;
  const random = options.random ?? Math.random;
  const timeoutMs = options.timeoutMs ?? 30_000;
  const wire = transport(connection, { maxSockets: options.maxSockets ?? 64 });
  const userAgent = options.userAgent ?? "flyte-ts";
  const server = connection.server.origin;

  /** A plugin or a file of tokens that fails may work again: an error like others, for whoever tries again. */
  async function credentials(target: Target): Promise<Credentials> {
    try {
      return await connection.credentials();
    } catch (cause) {
      const said = `there are no credentials: ${(cause as Error).message}`;
      throw new KubernetesError({ ...target, status: 0, reason: "Unauthorized", said }, { cause });
    }
  }

  async function once<T>(request: Request, long: boolean, read: (answer: IncomingMessage) => Promise<T>): Promise<T> {
    const target = request.target ?? targetOf(request);
    const started = performance.now();
    const seen = (status: number) =>
      options.onCall?.({ verb: target.verb, resource: target.resource, status, ms: performance.now() - started });
    let status = 0;
    try {
      const answer = await wire.send({
        credentials: await credentials(target),
        method: request.method,
        path: request.path + queryText(request.query),
        headers: headersOf(request, userAgent),
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        ...(request.signal ? { signal: request.signal } : {}),
        long,
        timeoutMs: request.timeoutMs ?? timeoutMs,
      });
      status = answer.statusCode ?? 0;
      if (status < 400) return await read(answer);
      throw errorOfAnswer(target, status, await readText(answer), header(answer, "retry-after"));
    } catch (error) {
      request.signal?.throwIfAborted();
      if (error instanceof KubernetesError) throw error;
      throw errorOfNetwork(target, server, error);
    } finally {
      seen(status);
    }
  }

  async function repeated<T>(request: Request, read: (answer: IncomingMessage) => Promise<T>): Promise<T> {
    const verb = (request.target ?? targetOf(request)).verb;
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      try {
        return await once(request, false, read);
      } catch (error) {
        if (!(error instanceof KubernetesError)) throw error;
        if (error.status === 401 && !renewed) {
          renewed = true;
          connection.forget();
          continue;
        }
        const delay = retryDelayMs(error, verb, attempt, retry, random);
        if (delay === undefined) throw error;
        await sleep(delay, undefined, { signal: request.signal }).catch(() => request.signal?.throwIfAborted());
      }
    }
  }

  const client: KubernetesClient = {
    request: <T>(request: Request) => repeated(request, async (answer) => parse<T>(request, await readText(answer))),
    text: (request) => repeated(request, readText),
    stream: (request) => once(request, true, async (answer) => answer),
    resource: (definition) => resource(client, definition),
    namespace: connection.namespace,
    server,
    close: () => wire.close(),
  };
  return client;
}

function headersOf(request: Request, userAgent: string): Record<string, string> {
  return {
    accept: "application/json, */*;q=0.5",
    "user-agent": userAgent,
    ...(request.body === undefined ? {} : { "content-type": request.contentType ?? "application/json" }),
  };
}

function queryText(query: Query | undefined): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) params.append(name, String(value));
  return params.size > 0 ? `?${params}` : "";
}

const verbs = { GET: "get", POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" } as const;

function targetOf({ method, path }: Request): Target {
  return { verb: verbs[method], resource: path };
}

function header(answer: IncomingMessage, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === "string" ? value : undefined;
}

function parse<T>(request: Request, text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    const said = `the answer is no JSON: ${text.slice(0, 200)}`;
    throw new KubernetesError(
      { ...(request.target ?? targetOf(request)), status: 200, reason: "Unknown", said },
      { cause },
    );
  }
}

/** What the RPC door counts: one observation for each call, by method and code. */
import { type Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { Metrics } from "../telemetry/index.ts";
import { methodName } from "./error-mapping.ts";

export interface RpcMetrics {
  /** A call ended: `method` is `package.Service/Method`, `code` is `ok` or a Connect code. */
  handled(method: string, code: string, seconds: number): void;
}

/** `flyte_rpc_calls_total` and `flyte_rpc_seconds`, by method and code, in the server's registry. */
export function rpcMetrics(metrics: Pick<Metrics, "counter" | "histogram">): RpcMetrics {
  const calls = metrics.counter({
    name: "flyte_rpc_calls_total",
    help: "RPCs that ended, by method and code",
    labels: { method: [], code: [] },
  });
  const seconds = metrics.histogram({
    name: "flyte_rpc_seconds",
    help: "time from a call's first byte to its end, by method",
    labels: { method: [] },
  });
  return {
    handled(method, code, took) {
      calls.inc({ method, code });
      seconds.observe({ method }, took);
    },
  };
}

export function codeName(code: Code | undefined): string {
  return code === undefined ? "ok" : codeToString(code);
}

/** Sits outside the error mapping's inside, so it sees wire codes only. */
export function measured(metrics: RpcMetrics): Interceptor {
  return (next) => async (req) => {
    const begun = performance.now();
    const method = methodName(req);
    const end = (thrown?: unknown) =>
      metrics.handled(
        method,
        codeName(thrown === undefined ? undefined : ConnectError.from(thrown).code),
        (performance.now() - begun) / 1000,
      );
    try {
      const res = await next(req);
      if (res.stream) return { ...res, message: observed(res.message, end) };
      end();
      return res;
    } catch (thrown) {
      end(thrown);
      throw thrown;
    }
  };
}

async function* observed<T>(messages: AsyncIterable<T>, end: (thrown?: unknown) => void): AsyncIterable<T> {
  let failure: unknown;
  try {
    yield* messages;
  } catch (thrown) {
    failure = thrown;
    throw thrown;
  } finally {
    end(failure);
  }
}

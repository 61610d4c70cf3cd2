/**
 * `/healthz` says the process is alive, `/readyz` that it can serve (database and store answer).
 *
 * Promise: both answer within two seconds whatever the parts do, and neither says more than one line of cause.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

export interface Health {
  /** Rejects with the reason while a part we need is away. */
  ready(): Promise<void>;
}

const answerWithinMs = 2000;

export function answerHealth(path: string, req: IncomingMessage, res: ServerResponse, health: Health): boolean {
  if (path !== "/healthz" && path !== "/readyz") return false;
  if (req.method !== "GET" && req.method !== "HEAD") return false;
  if (path === "/healthz") send(res, 200, { status: "ok" });
  else void answerReady(res, health);
  return true;
}

async function answerReady(res: ServerResponse, health: Health): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${answerWithinMs} ms`)), answerWithinMs - 200);
  });
  try {
    await Promise.race([health.ready(), late]);
    send(res, 200, { status: "ready" });
  } catch (reason) {
    send(res, 503, { status: "unavailable", cause: reason instanceof Error ? reason.message : String(reason) });
  } finally {
    clearTimeout(timer);
  }
}

function send(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  res.end(`${JSON.stringify(body)}\n`);
}

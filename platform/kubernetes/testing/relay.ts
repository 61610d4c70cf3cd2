/** A road to a test cluster that can be broken: connections cut, nothing let in, or all of it silently held. */
import { once } from "node:events";
import { createServer, connect as dial, type Socket } from "node:net";
import { type KubernetesClient, kubernetesClient } from "../client.ts";
import { loadConnection } from "../kubeconfig.ts";
import type { TestScope } from "../testing.ts";

export interface Relay {
  readonly client: KubernetesClient;
  /** Cuts what goes through now. */
  cut(): void;
  /** Cuts, and lets nobody in until `open`. */
  close(): void;
  open(): void;
  /** Connections stay, but no byte comes through them any more; new ones work. */
  freeze(): void;
  /** Reads nothing from the server until `resume`: it sees a reader that lags. */
  hold(): void;
  resume(): void;
}

export async function relayTo(t: TestScope, kubeconfig: string): Promise<Relay> {
  const connection = await loadConnection({ kubeconfig });
  const pairs = new Set<[Socket, Socket]>();
  let closed = false;
  let held = false;
  const server = createServer((near) => {
    if (closed) return void near.resetAndDestroy();
    const far = dial(Number(connection.server.port), connection.server.hostname);
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    near.pipe(far);
    if (held) far.pause();
    else far.pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = kubernetesClient({ connection: { ...connection, server: new URL(`https://127.0.0.1:${port}`) } });

  function cut(): void {
    for (const [near] of pairs) near.resetAndDestroy();
  }

  t.after(async () => {
    client.close();
    cut();
    server.close();
  });
  return {
    client,
    cut,
    close() {
      closed = true;
      cut();
    },
    open() {
      closed = false;
    },
    hold() {
      held = true;
      for (const [near, far] of pairs) {
        far.unpipe(near);
        far.pause();
      }
    },
    resume() {
      held = false;
      for (const [near, far] of pairs) far.pipe(near);
    },
    freeze() {
      for (const [near, far] of pairs) {
        near.unpipe(far);
        far.unpipe(near);
        far.resume();
      }
    },
  };
}

/**
 * A way from pods to what listens on this machine only, or to the pods behind a Service: the test cluster has neither
 * kube-proxy nor DNS. Connections go to the addresses in turn.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import type { Scope } from "./server.ts";

export interface Address {
  host: string;
  port: number;
}

/** Listens where pods reach it; asks for the addresses at each connection. */
export async function relay(
  t: Scope,
  { gateway }: Pick<TestCluster, "gateway">,
  addresses: () => readonly Address[] | Promise<readonly Address[]>,
): Promise<Address> {
  const open = new Set<Socket>();
  let turn = 0;
  const server = createServer((near) => {
    open.add(near);
    near.on("error", () => near.destroy()).on("close", () => open.delete(near));
    void forward(near);
  });
  async function forward(near: Socket): Promise<void> {
    const all = await Promise.resolve(addresses()).catch(() => []);
    const address = all[turn++ % Math.max(1, all.length)];
    if (!address) return void near.destroy();
    const far = connect(address.port, address.host);
    open.add(far);
    far
      .on("error", () => near.destroy())
      .on("close", () => {
        open.delete(far);
        near.destroy();
      });
    near.on("close", () => far.destroy());
    near.pipe(far).pipe(near);
  }
  server.listen(0, gateway);
  await once(server, "listening");
  t.after(async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const { port } = server.address() as { port: number };
  return { host: gateway, port };
}

/** The pods behind a Service that are ready. */
export async function endpointsOf(cluster: TestCluster, service: string): Promise<Address[]> {
  const label = `kubernetes.io/service-name=${service}`;
  const text = await cluster.kubectl("get", "endpointslices", "-l", label, "-o", "json");
  const { items } = JSON.parse(text) as {
    items: {
      endpoints: { addresses: string[]; conditions?: { ready?: boolean } }[];
      ports: { port: number }[];
    }[];
  };
  return items.flatMap(({ endpoints, ports }) =>
    (endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false)
      .flatMap(({ addresses }) => addresses.map((host) => ({ host, port: ports[0]?.port ?? 0 }))),
  );
}

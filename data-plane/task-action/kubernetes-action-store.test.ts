/** The port's own suite against a real API server. */
import { after, test } from "node:test";
import { needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { actionStoreSuite } from "../executor/action-store-suite.ts";
import { removeAll, storeCluster } from "./testing/store-cluster.ts";

const { skip } = needsCluster("api");
if (skip) {
  test("kubernetes action store", { skip }, () => {});
} else {
  const cluster = storeCluster({ after });
  actionStoreSuite("kubernetes", async () => {
    const { open, client, namespace } = await cluster;
    await removeAll(client, namespace);
    return open();
  });
}

/** An executor with the plugin in a process of its own, to be killed: ENDPOINT STORE_FOLDER ACTION_NAME. */
import { openFileStore } from "@flyte-ts/platform/object-store";
import { executor, memoryActionStore } from "../../../executor/index.ts";
import { silentLog } from "../../../executor/log.ts";
import { scriptedControlPlane } from "../../../executor/testing/scripted-control-plane.ts";
import { connectorConfig } from "../config.ts";
import { connectorPlugin } from "../plugin.ts";
import { jobLease } from "./rig.ts";

const [endpoint = "", folder = "", name = ""] = process.argv.slice(2);
const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
const plane = scriptedControlPlane();
plane.lease(jobLease(name));
void plane.until(() => plane.told(`7/${name}/1`).phases.includes("INITIALIZING")).then(() => console.log("created"));
await executor({
  cluster: "east",
  link: plane.link,
  store: memoryActionStore(),
  plugins: [
    connectorPlugin({
      connectors: [connectorConfig.parse({ endpoint, insecure: true })],
      objectStore,
      secrets: { read: async (_scope, refs) => refs.map(() => undefined) },
      taskEnvironment: () => ({}),
      log: silentLog,
    }),
  ],
  log: silentLog,
  slots: 1,
}).run(new AbortController().signal);

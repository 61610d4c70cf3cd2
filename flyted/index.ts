/**
 * Compositions of the rooms into servers. The command line starts them; nobody else imports this.
 */
import { loadConfig } from "@flyte-ts/platform/config";
import { startAllInOne } from "./all-in-one.ts";
import { startControlPlane } from "./control-plane-server.ts";
import { startExecutor } from "./executor.ts";
import { loadExecutorConfig } from "./executor-config.ts";
import { controlPlaneScreen, executorScreen, readyScreen } from "./screen.ts";
import { type ServeOptions, serve } from "./serve.ts";

const server = {
  port: "port",
  host: "host",
  "database-url": "databaseUrl",
  "object-store": "objectStore.url",
  config: "config",
  open: "open",
};

/** Everything on this machine. */
export function runAllInOne(options: ServeOptions): Promise<number> {
  return serve(options, {
    flags: { ...server, "data-dir": "dataDir", python: "python" },
    load: loadConfig,
    start: startAllInOne,
    ready: ({ url }) => ({ url, console: `${url}/v2` }),
    screen: (running, config) => readyScreen(running, config, options.cwd),
    farewell: "stopping; tasks that run go on and are taken over at the next start …",
  });
}

/** The control plane alone, one replica of it. */
export function runControlPlane(options: ServeOptions): Promise<number> {
  return serve(options, {
    flags: server,
    load: loadConfig,
    start: startControlPlane,
    ready: ({ url }) => ({ url, console: `${url}/v2` }),
    screen: controlPlaneScreen,
    farewell: "stopping; executors go on and dial the next replica …",
  });
}

/** The executor of a Kubernetes cluster. */
export function runExecutor(options: ServeOptions): Promise<number> {
  return serve(options, {
    flags: {
      cluster: "cluster",
      "control-plane": "controlPlane",
      kubeconfig: "kubeconfig",
      context: "context",
      namespace: "namespace",
      "namespace-mode": "namespaceMode",
      "namespace-template": "namespaceTemplate",
      slots: "slots",
      queues: "queues",
      "task-endpoint": "taskEndpoint",
      "object-store": "objectStore.url",
      "health-host": "health.host",
      "health-port": "health.port",
      config: "config",
    },
    load: loadExecutorConfig,
    start: startExecutor,
    ready: ({ health }) => ({ health }),
    screen: executorScreen,
    farewell: "stopping; pods go on and are taken over at the next start …",
  });
}

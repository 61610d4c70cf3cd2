/**
 * A real cluster for raw containers: the object store is served where pods reach it, and the copilot's image is made of
 * this checkout, which a node of the test cluster sees as it is here.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Literal } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { DataLoadingConfigSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { LiteralType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { eventually } from "@flyte-ts/platform/kubernetes/testing.ts";
import { type FileStore, s3Endpoint } from "@flyte-ts/platform/object-store";
import { inputsOf, outputsOf } from "../../../copilot/testing/values.ts";
import { leaseOf } from "../../../executor/testing/leases.ts";
import { podName } from "../names.ts";
import type { Passed, PodTemplateSpec } from "../objects.ts";
import { DOWNLOAD, UPLOAD } from "../staged.ts";
import { IMAGE, realCluster } from "./real-cluster.ts";

const KEYS = { accessKeyId: "AKTEST", secretAccessKey: "a-key-that-no-pod-may-show" };
const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

/** The node's own folders in place of an image: Node, its libraries, this checkout. */
function company(): PodTemplateSpec {
  const folders = [...new Set([dirname(process.execPath), ROOT.replace(/\/$/, ""), "/lib", "/lib64"])];
  const volumes = folders.map((path, index) => ({ name: `host-${index}`, hostPath: { path } }));
  const volumeMounts = folders.map((mountPath, index) => ({ name: `host-${index}`, mountPath, readOnly: true }));
  const container = { command: [process.execPath, `${ROOT}user-plane/cli/main.ts`], volumeMounts };
  const spec: Passed = {
    volumes,
    containers: [{ name: UPLOAD, ...container }],
    initContainers: [{ name: DOWNLOAD, ...container }],
  };
  return { spec };
}

export interface RawTask {
  script: string;
  inputs?: Record<string, Literal>;
  outputs?: Record<string, LiteralType>;
  data?: MessageInitShape<typeof DataLoadingConfigSchema>;
}

/** Serves the store at an address that can go away and come back. */
async function served(t: TestContext, objectStore: FileStore, host: string) {
  const endpoint = s3Endpoint({ store: objectStore, lookup: (id) => (id === KEYS.accessKeyId ? KEYS : undefined) });
  let server: Server | undefined;
  let port = 0;
  const up = async () => {
    const fresh = createServer((req, res) => {
      if (!endpoint.handle(req, res)) res.writeHead(418).end();
    });
    await new Promise<void>((resolve, reject) => fresh.once("error", reject).listen(port, host, resolve));
    port = (fresh.address() as AddressInfo).port;
    server = fresh;
  };
  const down = async () => {
    const old = server;
    server = undefined;
    old?.closeAllConnections();
    await new Promise<void>((resolve) => (old ? old.close(() => resolve()) : resolve()));
  };
  await up();
  t.after(async () => {
    endpoint.close();
    await down();
  });
  return { up, down, url: () => `http://${host}:${port}` };
}

export async function rawCluster(t: TestContext, config: object = {}) {
  let store: Awaited<ReturnType<typeof served>> | undefined;
  const one = await realCluster(t, {
    config: {
      limits: { cpu: "1" },
      copilotImage: IMAGE,
      copilotPatienceSeconds: 60,
      podTemplate: "company",
      ...config,
    },
    async parts({ cluster, objectStore }) {
      const endpoint = await served(t, objectStore, cluster.gateway);
      store = endpoint;
      return {
        podTemplate: async () => company(),
        taskEnvironment: () => ({ FLYTE_AWS_ENDPOINT: endpoint.url(), AWS_REGION: "us-east-1" }),
        secretEnvironment: () => ({
          FLYTE_AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
          FLYTE_AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
        }),
      };
    },
  });
  if (!store) throw new Error("no store was served");

  async function raw(name: string, { script, inputs, outputs, data }: RawTask): Promise<LeasedAction> {
    const inputUri = `s3://flyte-data/inputs/${name}/inputs.pb`;
    if (inputs) await one.objectStore.put(inputUri, toBinary(InputsSchema, inputsOf(inputs)));
    const types = (names: readonly string[] = []) => names.map((key) => ({ key, value: {} }));
    const dataConfig = create(DataLoadingConfigSchema, {
      enabled: true,
      inputPath: "/var/inputs",
      outputPath: "/var/outputs",
      ...data,
    });
    const lease = leaseOf({
      name,
      taskType: "raw-container",
      ...(inputs ? { inputUri } : {}),
      template: {
        type: "raw-container",
        interface: { inputs: { variables: types(Object.keys(inputs ?? {})) }, outputs: outputsOf(outputs ?? {}) },
        target: { case: "container", value: { image: IMAGE, command: ["/bin/sh", "-c", script], dataConfig } },
      },
    });
    one.plane.lease(lease);
    return lease;
  }
  return {
    ...one,
    store,
    raw,
    secret: KEYS.secretAccessKey,
    /** The container of ours has written this. */
    async logged(lease: LeasedAction, container: string, words: string): Promise<void> {
      const pod = podName(lease.ref as NonNullable<LeasedAction["ref"]>, lease.attempt);
      await eventually(async () =>
        (await one.kubectl("logs", pod, "--container", container).catch(() => "")).includes(words),
      );
    },
  };
}

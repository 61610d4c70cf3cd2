import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import {
  SelectClusterRequest_Operation as Operation,
  type SelectClusterRequest,
  SelectClusterRequestSchema,
} from "@flyte-ts/contract/flyteidl2/cluster/payload_pb.ts";
import { ClusterService } from "@flyte-ts/contract/flyteidl2/cluster/service_pb.ts";
import { type ClusterServiceOptions, clusterService } from "./index.ts";

function client(options?: ClusterServiceOptions) {
  return createClient(
    ClusterService,
    createRouterTransport(({ service }) => void service(ClusterService, clusterService(options))),
  );
}

/** One request for each arm of the oneof, the missing one too: found in the contract, so none is forgotten. */
function everyResource(): SelectClusterRequest[] {
  const [resource] = SelectClusterRequestSchema.oneofs;
  assert.ok(resource && resource.fields.length >= 10);
  const arms = resource.fields.map((field) => {
    assert.equal(field.fieldKind, "message");
    const message = reflect(SelectClusterRequestSchema);
    if (field.fieldKind === "message") message.set(field, reflect(field.message));
    return message.message as SelectClusterRequest;
  });
  return [...arms, create(SelectClusterRequestSchema)];
}

test("every resource and operation stays on the client's own connection", async () => {
  for (const request of everyResource()) {
    for (const operation of Object.values(Operation)) {
      const { clusterEndpoint, cluster } = await client().selectCluster({ ...request, operation });
      assert.deepEqual({ clusterEndpoint, cluster }, { clusterEndpoint: "", cluster: "embedded" });
    }
  }
});

test("the cluster's name is looked up", async () => {
  const { cluster } = await client({
    clusterOf: async (resource) => (resource.case === "projectId" ? `of-${resource.value.name}` : "other"),
  }).selectCluster({ resource: { case: "projectId", value: { name: "shop" } }, operation: Operation.UPLOAD_INPUTS });
  assert.equal(cluster, "of-shop");
});

test("a lookup that fails is told to us, not to the client", async () => {
  const failures: unknown[] = [];
  const lost = new Error("registry lost");
  const options: ClusterServiceOptions = {
    clusterOf: () => Promise.reject(lost),
    onError: (error, resource) => failures.push([error, resource.case]),
  };
  const answer = await client(options).selectCluster({ operation: Operation.TAIL_LOGS });
  assert.equal(answer.clusterEndpoint, "");
  assert.equal(answer.cluster, "");
  assert.deepEqual(failures, [[lost, undefined]]);
});

/** What becomes of an attempt whose pod the API server refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KubernetesError, type KubernetesReason } from "@flyte-ts/platform/kubernetes";
import { isPassing, verdictOn } from "./refusal.ts";

const refusal = (reason: KubernetesReason, status: number, said: string) =>
  new KubernetesError({
    verb: "create",
    resource: "pods",
    group: "",
    namespace: "ns",
    name: "x",
    reason,
    status,
    said,
  });

test("refusals, one by one", () => {
  const quota =
    'pods "x" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=2, limited: requests.cpu=2';
  const tooBig =
    'pods "x" is forbidden: exceeded quota: q, requested: pods=1,requests.memory=4Gi, used: pods=0,requests.memory=0, limited: pods=5,requests.memory=2Gi';
  const rbac = 'pods is forbidden: User "u" cannot create resource "pods" in API group "" in the namespace "ns"';
  const rows: [KubernetesReason, number, string, expected: string, message: RegExp][] = [
    ["Forbidden", 403, quota, "wait ExceededQuota", /exceeded quota: q/],
    ["Forbidden", 403, tooBig, "ExceededQuota user final", /requests.memory=4Gi is more than the whole quota of 2Gi/],
    ["Forbidden", 403, rbac, "Forbidden system", /allow verb "create" on resource "pods".* in a Role in "ns"/],
    [
      "Forbidden",
      403,
      'pods "x" is forbidden: error looking up service account ns/a: serviceaccount "a" not found',
      "InvalidResource user final",
      /create the service account/,
    ],
    [
      "Forbidden",
      403,
      'pods "x" is forbidden: unable to create new content in namespace ns because it is being terminated',
      "NamespaceTerminating system",
      /terminated/,
    ],
    [
      "Forbidden",
      403,
      'pods "x" is forbidden: violates PodSecurity "restricted:latest"',
      "InvalidResource user final",
      /PodSecurity/,
    ],
    [
      "Forbidden",
      403,
      'pods "x" is forbidden: maximum cpu usage per Container is 1',
      "InvalidResource user final",
      /maximum cpu/,
    ],
    [
      "Forbidden",
      403,
      'pods "x" is forbidden: status unknown for quota: q, resources: pods',
      "wait NamespaceNotReady",
      /unknown/,
    ],
    [
      "Forbidden",
      403,
      'pods "x" is forbidden: error looking up service account ns/default: serviceaccount "default" not found',
      "wait NamespaceNotReady",
      /default/,
    ],
    ["TooLarge", 413, "Request entity too large: limit is 3145728", "EntityTooLarge user final", /smaller/],
    [
      "Invalid",
      422,
      'Pod "x" is invalid: spec.containers[0].image: Required value',
      "InvalidResource user final",
      /Required value/,
    ],
    ["BadRequest", 400, "strict decoding error: unknown field", "BadRequest user final", /unknown field/],
    ["NotFound", 404, 'namespaces "ns" not found', "NamespaceNotFound system", /create the namespace/],
  ];
  for (const [reason, status, said, expected, message] of rows) {
    const verdict = verdictOn(refusal(reason, status, said));
    assert.ok(verdict, said);
    const short =
      verdict.kind === "wait"
        ? `wait ${verdict.reason}`
        : `${verdict.error.code} ${verdict.error.kind}${verdict.error.recoverable ? "" : " final"}`;
    assert.equal(short, expected, said);
    assert.match(verdict.kind === "wait" ? verdict.message : verdict.error.message, message);
  }
});

test("an API server that is away, busy or starting refuses nothing", () => {
  const rows: [KubernetesReason, number][] = [
    ["Unreachable", 0],
    ["ServiceUnavailable", 503],
    ["InternalError", 500],
    ["Timeout", 504],
    ["TooManyRequests", 429],
    ["Conflict", 409],
    ["Unauthorized", 401],
  ];
  for (const [reason, status] of rows) {
    assert.equal(verdictOn(refusal(reason, status, "")), undefined, reason);
    assert.equal(isPassing(refusal(reason, status, "")), true, reason);
  }
  assert.equal(isPassing(refusal("Forbidden", 403, "")), false);
  assert.equal(isPassing(new Error("x")), false);
});

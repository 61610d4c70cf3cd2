/** What is tried again: nothing that could be done twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorOfAnswer, errorOfNetwork, errorOfStatus, type Verb } from "./errors.ts";
import { backoffMs, retryDelayMs } from "./retry.ts";

const policy = { attempts: 3, firstMs: 100, maxMs: 1_000 };
const target = (verb: Verb) => ({ verb, resource: "pods" });
const answer = (verb: Verb, status: number, retryAfter?: string) =>
  retryDelayMs(errorOfAnswer(target(verb), status, "", retryAfter), verb, 1, policy, () => 1);
const broken = (verb: Verb, code: string) =>
  retryDelayMs(errorOfNetwork(target(verb), "s", Object.assign(new Error(), { code })), verb, 1, policy, () => 1);

test("refusals for load are repeated whatever the verb, after the time that was asked for", () => {
  assert.equal(answer("create", 429), 100);
  assert.equal(answer("create", 429, "2"), 2_000);
  assert.equal(answer("create", 503, "1"), 1_000);
});

test("other failures of the server only where a repetition changes nothing", () => {
  for (const status of [500, 502, 503, 504]) {
    assert.equal(answer("create", status), undefined);
    for (const verb of ["get", "list", "patch", "update", "delete"] as const) assert.equal(answer(verb, status), 100);
  }
  assert.equal(broken("create", "ECONNRESET"), undefined);
  assert.equal(broken("create", "ECONNREFUSED"), 100);
  assert.equal(broken("patch", "ECONNRESET"), 100);
});

test("answers are answers", () => {
  for (const status of [400, 401, 403, 404, 409, 410, 413, 422]) assert.equal(answer("get", status), undefined);
  assert.equal(
    retryDelayMs(errorOfAnswer(target("get"), 503, ""), "get", 3, policy, () => 1),
    undefined,
  );
  const large = errorOfAnswer(target("update"), 500, "etcdserver: request is too large");
  assert.equal(large.reason, "TooLarge");
  assert.equal(
    retryDelayMs(large, "update", 1, policy, () => 1),
    undefined,
  );
});

test("backoff doubles up to its limit, with a jitter of a half", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((attempt) => backoffMs(attempt, policy, () => 1)),
    [100, 200, 400, 800, 1_000],
  );
  assert.equal(
    backoffMs(2, policy, () => 0),
    100,
  );
});

test("messages name the missing rule, the reason of a status, and what has no Status at all", () => {
  const said = 'pods is forbidden: User "x" cannot create resource "pods" in API group "" in the namespace "n"';
  const body = JSON.stringify({ kind: "Status", message: said, reason: "Forbidden", code: 403 });
  const forbidden = errorOfAnswer({ ...target("create"), group: "", namespace: "n" }, 403, body);
  assert.equal(
    forbidden.message,
    `cannot create pods in namespace "n": Forbidden (403): ${said}; allow verb "create" on resource "pods" of API group "" in a Role in "n" bound to this account`,
  );
  assert.equal(forbidden.isQuota, false);
  assert.equal(errorOfStatus(target("watch"), { code: 410, reason: "Expired", message: "old" }).reason, "Gone");
  const proxy = errorOfAnswer(target("get"), 502, "<html>bad gateway</html>");
  assert.deepEqual([proxy.reason, proxy.said], ["ServiceUnavailable", "<html>bad gateway</html>"]);
});

/** Namespaces for any address: valid, stable, never shared. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { namespaceMap } from "./namespace-map.ts";

const at = (project: string, domain: string) => ({ ref: { project, domain } });

test("one namespace for all is watched alone", () => {
  const map = namespaceMap({ mode: "single", namespace: "flyte" });
  assert.equal(map.namespaceFor(at("a", "b")), "flyte");
  assert.deepEqual(map.watched, ["flyte"]);
  assert.throws(() => namespaceMap({ mode: "single", namespace: "Fly_te" }), /can be no namespace/);
});

test("a template gives plain names, and hashes where plain ones could be shared or are not allowed", () => {
  const map = namespaceMap({ mode: "template", template: "{project}-{domain}" });
  assert.equal(map.watched, undefined);
  const cases: [string, string, RegExp][] = [
    ["flytesnacks", "development", /^flytesnacks-development$/],
    ["my-team", "production", /^my-team-production$/],
    ["my", "team-production", /^my-team-production--[0-9a-f]{16}$/],
    ["Team", "x", /^team-x--[0-9a-f]{16}$/],
    ["team", "x", /^team-x$/],
    ["kube", "system", /^kube-system--[0-9a-f]{16}$/],
    ["a-", "b", /^a-b--[0-9a-f]{16}$/],
    ["p".repeat(60), "development", /^p{45}--[0-9a-f]{16}$/],
    ["é", "é", /^x--[0-9a-f]{16}$/],
  ];
  for (const [project, domain, expected] of cases) {
    const name = map.namespaceFor(at(project, domain));
    assert.match(name, expected);
    assert.match(name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
    assert.equal(map.namespaceFor(at(project, domain)), name);
  }
});

test("a namespace of others is not taken", () => {
  const map = namespaceMap({ mode: "template", template: "{project}-{domain}", reserved: ["flyte-system"] });
  assert.match(map.namespaceFor(at("flyte", "system")), /^flyte-system--[0-9a-f]{16}$/);
});

test("no two addresses share a namespace", () => {
  const words = ["a", "b", "a-b", "b-a", "a-b-a", "a--b", "-a", "ab", "A", "aa", "x", "kube", "system", "default"];
  for (const template of [
    "{project}-{domain}",
    "{project}{domain}",
    "flyte-{domain}-x-{project}",
    "{domain}-a-{project}",
  ]) {
    const map = namespaceMap({ mode: "template", template });
    const taken = new Map<string, string>();
    for (const project of words) {
      for (const domain of words) {
        const name = map.namespaceFor(at(project, domain));
        assert.equal(taken.get(name), undefined, `${template}: ${project}/${domain} and ${taken.get(name)}: ${name}`);
        taken.set(name, `${project}/${domain}`);
      }
    }
  }
});

test("a template may fold what it does not name, and must name something", () => {
  const map = namespaceMap({ mode: "template", template: "stage-{domain}" });
  assert.equal(map.namespaceFor(at("a", "production")), map.namespaceFor(at("b", "production")));
  for (const template of ["flyte", "{team}", "Flyte-{project}", "{}", "a_{project}"]) {
    assert.throws(() => namespaceMap({ mode: "template", template }), /is not usable/, template);
  }
});

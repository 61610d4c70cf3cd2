/** What comes into a pod from elsewhere: secrets, and the templates it is based on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret_MountType } from "@flyte-ts/contract/flyteidl2/core/security_pb.ts";
import { build, containerTask, envOf, podTask, refuses } from "./testing/built.ts";

test("pod templates: magic containers are bases, others join, the task wins", () => {
  const podTemplate = {
    metadata: { labels: { team: "template", from: "template" } },
    spec: {
      serviceAccountName: "template",
      tolerations: [{ key: "t" }],
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [
        {
          name: "default",
          image: "base",
          env: [
            { name: "ALL", value: "1" },
            { name: "X", value: "all" },
          ],
          volumeMounts: [{ name: "v", mountPath: "/v" }],
        },
        { name: "primary", env: [{ name: "X", value: "primary" }], resources: { requests: { cpu: "3" } } },
        { name: "proxy", image: "proxy" },
      ],
      initContainers: [
        { name: "default-init", image: "init", args: ["go"] },
        { name: "fetch", image: "fetch" },
      ],
    },
  };
  const named = { metadata: { podTemplateName: "gpu" } };
  const { pod } = build(containerTask({ image: "task:1", env: [{ key: "Y", value: "task" }] }, named), { podTemplate });
  assert.equal(pod.metadata.labels?.from, "template");
  const [primary, proxy] = pod.spec.containers;
  assert.equal(primary?.image, "task:1");
  assert.deepEqual([envOf(primary).ALL, envOf(primary).X, envOf(primary).Y], ["1", "primary", "task"]);
  assert.deepEqual(primary?.volumeMounts, [{ name: "v", mountPath: "/v" }]);
  assert.equal(primary?.resources?.requests?.cpu, "3");
  assert.deepEqual([proxy?.name, proxy?.image, pod.spec.containers.length], ["proxy", "proxy", 2]);
  assert.deepEqual(
    pod.spec.initContainers?.map(({ name }) => name),
    ["fetch"],
  );
  assert.equal(pod.spec.serviceAccountName, "template");

  const native = podTask(
    {
      containers: [
        { name: "m", image: "i" },
        { name: "proxy", args: ["mine"] },
      ],
      initContainers: [{ name: "prepare" }],
      volumes: [{ name: "v", secret: { secretName: "s" } }, { name: "w" }],
      tolerations: [{ key: "own" }],
    },
    named,
    "m",
  );
  const merged = build(native, { podTemplate }).pod.spec;
  assert.deepEqual(
    merged.containers.map(({ name, image }) => [name, image]),
    [
      ["m", "i"],
      ["proxy", "proxy"],
    ],
  );
  assert.deepEqual(merged.containers[1]?.args, ["mine"]);
  assert.deepEqual(
    merged.initContainers?.map(({ name, image }) => [name, image]),
    [
      ["prepare", "init"],
      ["fetch", "fetch"],
    ],
  );
  assert.deepEqual(merged.volumes, [{ name: "v", secret: { secretName: "s" } }, { name: "w" }]);
  assert.deepEqual(merged.tolerations, [{ key: "t" }, { key: "own" }]);
  refuses(containerTask({}, named), /no PodTemplate "gpu"/);
  refuses(containerTask({}), /no PodTemplate "house"/, { config: { podTemplate: "house" } });
});

test("secrets are referred to, never written into the pod", () => {
  const secrets = [
    { key: "token", mountRequirement: Secret_MountType.ENV_VAR, envVar: "TOKEN" },
    { group: "team", key: "API-Key", mountRequirement: Secret_MountType.FILE },
    { group: "team", key: "pass-word" },
    { key: "name", mountRequirement: Secret_MountType.ENV_VAR, envVar: "RUN_NAME" },
  ];
  const values = ["hush-1", "hush-2", "hush-3", "hush-4"].map((text) => Buffer.from(text));
  const owner = { apiVersion: "flyte.org/v1", kind: "TaskAction", name: "x", uid: "u" };
  const template = containerTask({ env: [{ key: "TOKEN", value: "plain" }] }, { securityContext: { secrets } });
  const { pod, secret } = build(template, { secretValues: values, serverSecrets: { AWS_KEY: "hush-5" }, owner });
  assert.doesNotMatch(JSON.stringify(pod), /hush|aHVza|plain/);
  const env = envOf(pod.spec.containers[0]);
  const ref = (key: string) => ({ secretKeyRef: { name: "r1-a0-7-0", key } });
  assert.deepEqual(
    [env.TOKEN, env.TEAM_PASS_WORD, env.AWS_KEY],
    [ref("secret-0"), ref("secret-2"), ref("environment-0")],
  );
  assert.equal(env.RUN_NAME, "r1");
  const items = [
    { key: "secret-1", path: "team/API-Key" },
    { key: "secret-1", path: "team/api-key" },
  ];
  assert.deepEqual(pod.spec.volumes, [
    { name: "flyte-secrets", secret: { secretName: "r1-a0-7-0", items, defaultMode: 0o444 } },
  ]);
  assert.deepEqual(pod.spec.containers[0]?.volumeMounts, [
    { name: "flyte-secrets", mountPath: "/etc/flyte/secrets", readOnly: true },
  ]);
  assert.equal(Buffer.from(secret?.data["secret-1"] ?? "", "base64").toString(), "hush-2");
  assert.deepEqual(secret?.metadata.ownerReferences, [owner]);
  assert.equal(secret?.metadata.name, pod.metadata.name);
  refuses(
    template,
    /`API-Key` of group `team`, which does not exist/,
    { secretValues: values.slice(0, 1) },
    "SecretNotFound",
  );
  const outside = [{ group: "..", key: "x", mountRequirement: Secret_MountType.FILE }];
  refuses(containerTask({}, { securityContext: { secrets: outside } }), /cannot be the name of a secret's file/, {
    secretValues: values,
  });
});

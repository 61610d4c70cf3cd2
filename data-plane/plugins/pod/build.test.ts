/** From attempts to pods: golden for a container task, then rule by rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { type LeaseParts, leaseOf } from "../../executor/testing/leases.ts";
import { podConfig } from "./config.ts";
import { build, containerTask, envOf, main, podTask, refuses, spec } from "./testing/built.ts";

test("a container task, golden", () => {
  const owner = { apiVersion: "flyte.org/v1", kind: "TaskAction", name: "r1-a0-7", uid: "u1", controller: true };
  const { pod, secret } = build(
    containerTask(
      {
        args: ["a0", "--inputs", "{{.input}}", "--run-name", "{{.runName}}", "{{.namespace}}"],
        env: [{ key: "COLOUR", value: "blue" }],
        ports: [{ containerPort: 80, name: "web" }, { containerPort: 81 }],
      },
      { id: { project: "p", domain: "development", name: "env.main", version: "v" } },
    ),
    { lease: leaseOf({ inputUri: "s3://b/in", attempt: 2 }), owner, server: { _U_EP_OVERRIDE: "api:80" } },
  );
  assert.equal(secret, undefined);
  assert.deepEqual(pod, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "r1-a0-7-1",
      namespace: "p-development",
      labels: {
        organization: "flyte",
        project: "p",
        domain: "development",
        run: "r1",
        action: "a0",
        attempt: "2",
        "task-name": "env.main",
        "flyte.org/managed": "true",
        "flyte.org/cluster": "east",
      },
      annotations: {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        primary_container_name: "r1-a0-7-1",
        "flyte.org/attempt-key": "7/a0/2",
      },
      ownerReferences: [owner],
    },
    spec: {
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 30,
      containers: [
        {
          terminationMessagePolicy: "FallbackToLogsOnError",
          name: "r1-a0-7-1",
          image: "task:1",
          args: ["a0", "--inputs", "s3://b/in/inputs.pb", "--run-name", "r1", "p-development"],
          ports: [{ containerPort: 80, name: "web" }, { containerPort: 81 }],
          env: Object.entries({
            PYTHONUNBUFFERED: "1",
            DO_NOT_TRACK: "1",
            FLYTE_DISABLE_SENTRY: "1",
            COLOUR: "blue",
            _U_EP_OVERRIDE: "api:80",
            ACTION_NAME: "a0",
            RUN_NAME: "r1",
            FLYTE_ATTEMPT_NUMBER: "1",
            FLYTE_INTERNAL_EXECUTION_ID: "r1",
            FLYTE_INTERNAL_EXECUTION_PROJECT: "p",
            FLYTE_INTERNAL_EXECUTION_DOMAIN: "development",
            FLYTE_INTERNAL_TASK_PROJECT: "p",
            FLYTE_INTERNAL_TASK_DOMAIN: "development",
            FLYTE_INTERNAL_TASK_NAME: "env.main",
            FLYTE_INTERNAL_TASK_VERSION: "v",
            FLYTE_INTERNAL_PROJECT: "p",
            FLYTE_INTERNAL_DOMAIN: "development",
            FLYTE_INTERNAL_NAME: "env.main",
            FLYTE_INTERNAL_VERSION: "v",
            _F_PN: "a0",
            _U_ORG_NAME: "local",
            _U_RUN_BASE: "s3://flyte-data/p/development/r1/",
            _U_USE_ACTIONS: "1",
          }).map(([name, value]) => ({ name, value })),
          resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "1", memory: "1Gi" } },
        },
      ],
      restartPolicy: "Never",
    },
  });
});

test("variables: what comes later wins, names of the action are nobody else's, references stay", () => {
  const task = podTask({
    containers: [
      {
        name: "main",
        image: "i",
        env: [
          { name: "A", value: "task" },
          { name: "B", value: "task" },
          { name: "C", value: "task" },
          { name: "RUN_NAME", value: "task" },
          { name: "REF", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
          { name: "PYTHONUNBUFFERED", value: "0" },
          { name: "A", value: "task again" },
        ],
      },
    ],
  });
  const env = envOf(
    main(task, {
      lease: leaseOf({ envs: { B: "run", C: "run", _U_ORG_NAME: "run", ENDPOINT: "run" } }),
      server: { C: "server", ENDPOINT: "server", D: "server" },
      config: { env: { D: "cluster" }, envFromSecrets: ["storage"] },
    }),
  );
  const expected = { A: "task again", B: "run", C: "server", D: "cluster", ENDPOINT: "server", PYTHONUNBUFFERED: "0" };
  for (const [name, value] of Object.entries(expected)) assert.equal(env[name], value, name);
  assert.deepEqual([env.RUN_NAME, env._U_ORG_NAME], ["r1", "local"]);
  assert.deepEqual(env.REF, { fieldRef: { fieldPath: "status.podIP" } });
  assert.deepEqual(main(task, { config: { envFromSecrets: ["storage"] } }).envFrom, [
    { secretRef: { name: "storage" } },
  ]);
});

test("text of a container task stays as it is; in a pod of the task's own only what is put in does", () => {
  const string = (value: string) =>
    ({
      value: {
        case: "scalar",
        value: { value: { case: "primitive", value: { value: { case: "stringValue", value } } } },
      },
    }) as const;
  const inputs = create(InputsSchema, { literals: [{ name: "x", value: string("$(RUN_NAME) $$ $y") }] });
  const args = ["echo $$ $(date) $HOME {{.inputs.x}}"];
  assert.deepEqual(main(containerTask({ args }), { inputs }).args, ["echo $$$$ $$(date) $HOME $$(RUN_NAME) $$$$ $y"]);
  assert.deepEqual(main(podTask({ containers: [{ name: "m", image: "i", args }] }), { inputs }).args, [
    "echo $$ $(date) $HOME $$(RUN_NAME) $$$$ $y",
  ]);
  assert.equal(envOf(main(containerTask({ env: [{ key: "A", value: "$(B)" }] }))).A, "$$(B)");
  assert.equal(envOf(main(containerTask({}), { lease: leaseOf({ envs: { A: "$(B)" } }) })).A, "$$(B)");
  refuses(containerTask({ args: ["{{.inputs.none}}"] }), /`none`, which the action was not given/);
});

test("service account: the task's, its pod's, the cluster's", () => {
  const config = { serviceAccount: "cluster" };
  const pod = podTask({ serviceAccountName: "pod", containers: [{ name: "m", image: "i" }] });
  const runAs = { securityContext: { runAs: { k8sServiceAccount: "task", iamRole: "arn:role" } } };
  assert.equal(spec({ ...pod, ...runAs }, { config }).serviceAccountName, "task");
  assert.equal(spec(pod, { config }).serviceAccountName, "pod");
  assert.equal(spec(containerTask({}), { config }).serviceAccountName, "cluster");
  assert.equal(spec(containerTask({})).serviceAccountName, undefined);
  const annotated = build({ ...pod, ...runAs }, { config: { iamRoleAnnotation: "iam.amazonaws.com/role" } });
  assert.equal(annotated.pod.metadata.annotations?.["iam.amazonaws.com/role"], "arn:role");
});

test("labels and annotations: the system's win, and all are made such that Kubernetes takes them", () => {
  const template = containerTask(
    {},
    { id: { name: `env.${"x".repeat(80)}` }, metadata: { metadata: { labels: { team: "task", own: "task" } } } },
  );
  const lease: LeaseParts = {
    labels: { team: "run", run: "mine", "bad key!": "a b/c", _: "x", "Bad.Domain/k": "v", "ok.org/k": "-v-" },
    annotations: { "flyte.org/attempt-key": "mine", note: "any text: ünïcode" },
  };
  const config = { labels: { team: "cluster", cost: "7" }, annotations: {} };
  const { metadata } = build(template, { lease: leaseOf(lease), config }).pod;
  const labels = metadata.labels ?? {};
  assert.deepEqual(
    [labels.team, labels.own, labels.cost, labels.run, labels["bad-key"], labels["Bad.Domain-k"], labels["ok.org/k"]],
    ["run", "task", "7", "r1", "a-b-c", "v", "v"],
  );
  assert.equal(labels["task-name"]?.length, 63);
  assert.ok(!("_" in labels));
  assert.equal(metadata.annotations?.["flyte.org/attempt-key"], "7/a0/1");
  assert.equal(metadata.annotations?.note, "any text: ünïcode");
});

test("a pod of the task's own keeps what it has; its primary container is the task", () => {
  const pod = {
    restartPolicy: "OnFailure",
    hostNetwork: true,
    containers: [
      { name: "side", image: "s", args: ["{{.outputPrefix}}"], resources: { limits: { cpu: "2" } }, workingDir: "/w" },
      { name: "main", image: "m", args: ["a0"], resources: { requests: { cpu: 2 } } },
    ],
    initContainers: [{ name: "prepare", image: "p" }],
  };
  const built = spec(podTask(pod, {}, "main"));
  assert.equal(built.restartPolicy, "Never");
  assert.equal((built as { hostNetwork?: boolean }).hostNetwork, true);
  const [side, primary] = built.containers;
  assert.deepEqual(side?.args, ["s3://flyte-data/p/development/r1/a0/1"]);
  assert.deepEqual(side?.resources, { limits: { cpu: "2" } });
  assert.equal(side?.env, undefined);
  assert.equal((side as { workingDir?: string }).workingDir, "/w");
  assert.equal(primary?.resources?.requests?.cpu, "2");
  assert.equal(envOf(primary).RUN_NAME, "r1");
  assert.equal(built.initContainers?.[0]?.terminationMessagePolicy, "FallbackToLogsOnError");
  const viaConfig = build(podTask(pod, { config: { primary_container_name: "main" } }));
  assert.equal(viaConfig.pod.metadata.annotations?.primary_container_name, "main");
  refuses(podTask(pod), /does not say which one/);
  refuses(podTask(pod, {}, "other"), /"other" is none of its pod's containers: side, main/);
  refuses(podTask({ containers: [] }), /has no containers/);
  refuses(
    podTask({ ...pod, containers: [{ name: "m" }, { name: "x", resources: { limits: { cpu: "9" } } }] }, {}, "m"),
    /more than/,
    {
      config: { maximum: { cpu: "4" } },
    },
  );
});

test("the cluster's part: pull secrets, scheduler, architecture, an editor's probe", () => {
  const config = {
    imagePullSecrets: ["reg"],
    imagePullPolicy: "Always",
    schedulerName: "s",
    runtimeClassName: "gvisor",
  };
  const pod = spec(containerTask({ architecture: 2 }), { config, lease: leaseOf({ envs: { _F_E_VS: "True" } }) });
  assert.deepEqual(pod.imagePullSecrets, [{ name: "reg" }]);
  assert.deepEqual([pod.schedulerName, pod.runtimeClassName], ["s", "gvisor"]);
  assert.deepEqual(pod.nodeSelector, { "kubernetes.io/arch": "arm64" });
  assert.equal(pod.containers[0]?.imagePullPolicy, "Always");
  assert.ok(pod.containers[0]?.readinessProbe);
  assert.equal(main(containerTask({})).readinessProbe, undefined);
});

test("what no pod can run is refused by name", () => {
  refuses({ type: "sql" }, /type "sql" names no container/);
  refuses(containerTask({ image: "" }), /names no image/);
  refuses(containerTask({ dataConfig: { enabled: true, inputPath: "/var/inputs" } }), /inputs and outputs as files/);
  assert.throws(() => podConfig.parse({ requests: { cpu: "lots" } }), /quantity/);
  assert.throws(() => podConfig.parse({ requets: {} }), /[Uu]nrecognized/);
});

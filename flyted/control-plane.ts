/** The control plane: its rooms joined over one database and one object store. Starts nothing by itself but the bus. */
import { fromBinary } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { AuthMetadataService } from "@flyte-ts/contract/flyteidl2/auth/auth_service_pb.ts";
import { IdentityService } from "@flyte-ts/contract/flyteidl2/auth/identity_pb.ts";
import { ClusterService } from "@flyte-ts/contract/flyteidl2/cluster/service_pb.ts";
import { ProjectService } from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { SettingsService } from "@flyte-ts/contract/flyteidl2/settings/settings_service_pb.ts";
import {
  type TaskIdentifier,
  type TaskSpec,
  TaskSpecSchema,
} from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { TaskService } from "@flyte-ts/contract/flyteidl2/task/task_service_pb.ts";
import { QueueService } from "@flyte-ts/contract/flyteidl2/workflow/queue_service_pb.ts";
import { RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { StateService } from "@flyte-ts/contract/flyteidl2/workflow/state_service_pb.ts";
import { ClusterAdminService } from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { ClusterLinkService, type ObjectStoreAccess } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { actionsService } from "@flyte-ts/control-plane/actions-service";
import { type ClusterResource, clusterService } from "@flyte-ts/control-plane/cluster-service";
import {
  describeIdentities,
  type Identity,
  identityService,
  openAuthMetadataService,
} from "@flyte-ts/control-plane/identity-service";
import {
  type DomainConfig,
  projectService,
  rememberProjects,
  seedProjects,
} from "@flyte-ts/control-plane/project-service";
import {
  anyCluster,
  type ClusterLink,
  clusterAdminService,
  clusterLink,
  clusterLinkService,
  clusterOfAction,
  clusterRegistry,
  connectedClusters,
  enqueue,
  giveUpLost,
  queueService,
  sessions,
  specCache,
  watchClusters,
  watchExpiry,
  whyUnroutable,
} from "@flyte-ts/control-plane/queue-service";
import {
  actionData,
  actionReader,
  conditionOf,
  createRun,
  latestRuns,
  runCache,
  runService,
} from "@flyte-ts/control-plane/run-service";
import { settingsService } from "@flyte-ts/control-plane/settings-service";
import {
  aborts,
  actionKey,
  changeBus,
  signals,
  stateService,
  stateWriter,
  updateStreams,
} from "@flyte-ts/control-plane/state-service";
import { readTask, taskService } from "@flyte-ts/control-plane/task-service";
import { notFound } from "@flyte-ts/core";
import type { ActionDirectory } from "@flyte-ts/data-plane/data-proxy";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Database } from "@flyte-ts/platform/postgres";
import { type Logger, noTracer, type Tracer } from "@flyte-ts/platform/telemetry";
import { tracedLink, tracedQueue } from "./traced-path.ts";

export interface ControlPlaneOptions {
  database: Database;
  objects: ObjectStore;
  log: Logger;
  /** Whoever calls, while there is no login. */
  identity: Identity;
  projects: readonly string[];
  domains: readonly DomainConfig[];
  /** Where executors find payloads. */
  objectStore: ObjectStoreAccess;
  /** Attempts that the system may lose before an action fails. */
  systemRetries: number;
  /** How long clusters keep their leases without a heartbeat, and how often to send one. */
  leases?: { leaseMs: number; heartbeatMs: number };
  tracer?: Tracer;
  /** An action came into a phase by a commit of this replica. */
  onPhase?(phase: number): void;
}

export interface ControlPlane {
  routes(router: ConnectRouter): void;
  link: ClusterLink;
  /** What the data proxy asks of us. */
  directory: ActionDirectory;
  /** Works until `signal` is aborted. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when nothing waits for a commit; then the database may go. */
  close(): Promise<void>;
}

export async function controlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { database, objects, log, identity, domains, systemRetries, tracer = noTracer } = options;
  await seedProjects(database, options.projects);

  const bus = changeBus({
    database,
    onError: (err) => log.warn({ err }, "changes of other replicas could not be read"),
    onCommit(changes) {
      for (const change of changes) options.onPhase?.(change.phase);
    },
  });
  const registry = clusterRegistry({ database });
  const clusters = connectedClusters(registry);
  const specs = specCache({ systemRetries });
  const runs = runCache();
  const queue = tracedQueue(enqueue({ database, bus, specs, runs, clusters }), tracer);
  const writer = stateWriter({ database, bus, specs });
  const giveUp = giveUpLost({ database, writer });
  const session = sessions({ database, bus, giveUp, ...options.leases });
  const link = tracedLink(
    clusterLink({
      database,
      bus,
      specs,
      runs,
      writer,
      sessions: session,
      clusters,
      objectStore: options.objectStore,
      onUnreadable: (what) => log.warn(what, "parts of a report cannot be read and are left out"),
    }),
    tracer,
  );
  const abort = aborts({ database, runs, writer });
  const signal = signals({ database, writer, conditionOf });
  const updates = updateStreams({ database, bus, runs });
  const identities = describeIdentities([identity]);
  const reader = actionReader({ database, runs, specs, identities, whyWaiting: whyUnroutable });
  const knownProject = rememberProjects();

  async function requireProject(project: string, domain: string): Promise<void> {
    await knownProject(database, project);
    if (!domains.some(({ id }) => id === domain)) {
      throw notFound(`domain ${domain} not found; this server has ${domains.map(({ id }) => id).join(", ")}`);
    }
  }

  async function deployedTask(id: TaskIdentifier): Promise<TaskSpec> {
    const task = await readTask(database, id);
    if (!task)
      throw notFound(`task ${id.name} has no version ${id.version} in ${id.project}/${id.domain}; deploy it first`);
    return fromBinary(TaskSpecSchema, task.spec);
  }

  const told = (message: string) => (err: unknown) => log.warn({ err }, message);

  /** An action is where it runs or ran last; anything else is wherever there is a cluster. */
  async function clusterOf(resource: ClusterResource): Promise<string> {
    const id =
      resource.case === "actionId"
        ? resource.value
        : resource.case === "actionAttemptId"
          ? resource.value.actionId
          : undefined;
    const its = id && (await clusterOfAction(database, await actionKey(database, runs, id)));
    return its || (await anyCluster(database));
  }

  const create = createRun({ queue, objects, requireProject, deployedTask });
  return {
    link,
    directory: { requireProject, taskSpec: deployedTask, action: (id) => actionData(reader, id) },
    routes(router) {
      router.service(
        RunService,
        runService({ database, bus, runs, reader, createRun: create, aborts: abort, signals: signal, identities }),
      );
      router.service(
        ActionsService,
        actionsService({ database, queue, runs, aborts: abort, signals: signal, updates, objects }),
      );
      router.service(QueueService, queueService({ queue, aborts: abort, objects }));
      router.service(StateService, stateService({ database, runs, updates }));
      router.service(
        TaskService,
        taskService({
          database,
          latestRuns: latestRuns(database),
          requireProject: knownProject,
          describeIdentity: identities,
        }),
      );
      router.service(ProjectService, projectService({ database, domains }));
      router.service(SettingsService, settingsService({ database }));
      router.service(IdentityService, identityService());
      router.service(AuthMetadataService, openAuthMetadataService());
      router.service(
        ClusterService,
        clusterService({ clusterOf, onError: told("the cluster of a resource is unknown") }),
      );
      router.service(ClusterLinkService, clusterLinkService(link));
      router.service(ClusterAdminService, clusterAdminService({ database, runs, sessions: session }));
    },
    async run(stop) {
      await Promise.all([
        watchExpiry({ database, bus, writer, onError: told("limits of time could not be checked") }, stop),
        watchClusters({ sessions: session, giveUp, onError: told("silent clusters could not be looked for") }, stop),
      ]);
    },
    async close() {
      await Promise.all([queue.drained(), writer.drained()]);
      await bus.close();
    },
  };
}

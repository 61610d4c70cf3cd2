/**
 * `flyte-ts cluster …`: the clusters that run actions, taking one out of service and back, and why an action waits.
 */
import { toJsonString } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import {
  ClusterAdminService,
  ExplainActionResponseSchema,
  GetClusterResponseSchema,
  ListClustersResponseSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { clusterTable, clusterText, explanationText, stateOf } from "../cluster-text.ts";
import { endpointOption, failedCall, serverOf } from "../server.ts";
import { type Flags, UsageError, type Verb } from "../verb.ts";

type Admin = Client<typeof ClusterAdminService>;

/** What one command prints. */
type Command = (admin: Admin, subject: string, flags: Flags) => Promise<string>;

const commands: Readonly<Record<string, Command>> = {
  async list(admin, _subject, { json }) {
    const response = await admin.listClusters({});
    return json ? asJson(ListClustersResponseSchema, response) : clusterTable(response.clusters, new Date());
  },
  async show(admin, name, { json }) {
    const response = await admin.getCluster({ name });
    if (json || !response.cluster) return asJson(GetClusterResponseSchema, response);
    return clusterText(response.cluster, new Date());
  },
  async drain(admin, name, { reason, json }) {
    const { cluster } = await admin.drainCluster({ name, reason: String(reason ?? "") });
    if (json) return line({ cluster: name, state: cluster && stateOf(cluster), leased: cluster?.leased });
    return `${name} is given nothing new; ${goOn(cluster?.leased ?? 0)}\n`;
  },
  async resume(admin, name, { json }) {
    const { cluster } = await admin.resumeCluster({ name });
    if (json) return line({ cluster: name, state: cluster && stateOf(cluster) });
    return `${name} takes actions again\n`;
  },
  async forget(admin, name, { json }) {
    await admin.forgetCluster({ name });
    return json ? line({ cluster: name, state: "forgotten" }) : `${name} is forgotten\n`;
  },
  async explain(admin, subject, { project, domain, json }) {
    const [run = "", action = "", ...rest] = subject.split("/");
    if (run === "" || rest.length > 0) throw new UsageError(`name a RUN or RUN/ACTION, not ${JSON.stringify(subject)}`);
    const place = { project: String(project ?? "flytesnacks"), domain: String(domain ?? "development") };
    const response = await admin.explainAction({ ...place, run, action });
    return json ? asJson(ExplainActionResponseSchema, response) : explanationText(response);
  },
};

export const verb: Verb = {
  name: "cluster",
  summary: "show the clusters that run actions, drain one, or explain why an action waits",
  usage: "cluster list | show NAME | drain NAME | resume NAME | forget NAME | explain RUN[/ACTION]",
  options: {
    reason: { type: "string", value: "TEXT", help: "drain: why, for those who wonder" },
    project: { type: "string", value: "NAME", help: "explain: of the run (default flytesnacks)" },
    domain: { type: "string", value: "NAME", help: "explain: of the run (default development)" },
    ...endpointOption,
    json: { type: "boolean", help: "as one line of JSON" },
  },
  positionals: 2,
  async run({ flags, positionals: [word = "", subject = ""] }, io) {
    const command = Object.hasOwn(commands, word) ? commands[word] : undefined;
    if (!command) {
      const known = Object.keys(commands).join(", ");
      throw new UsageError(
        word === "" ? `say what to do: ${known}` : `unknown command ${JSON.stringify(word)}: ${known}`,
      );
    }
    if (word === "list" && subject !== "") throw new UsageError(`unexpected argument ${JSON.stringify(subject)}`);
    if (word !== "list" && subject === "") {
      throw new UsageError(word === "explain" ? "name a RUN or RUN/ACTION" : `name the cluster to ${word}`);
    }
    const server = serverOf(flags, io.env);
    try {
      io.stdout(await command(createClient(ClusterAdminService, server.transport), subject, flags));
      return 0;
    } catch (error) {
      const text = failedCall(error, server);
      if (text === undefined) throw error;
      io.stderr(`flyte-ts cluster: ${text}\n`);
      return 1;
    }
  },
};

function asJson(schema: Parameters<typeof toJsonString>[0], message: Parameters<typeof toJsonString>[1]): string {
  return `${toJsonString(schema, message, { alwaysEmitImplicit: true })}\n`;
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function goOn(leased: number): string {
  if (leased === 0) return "it holds no action";
  return leased === 1 ? "1 action that it has goes on" : `${leased} actions that it has go on`;
}

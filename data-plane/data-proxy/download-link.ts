/**
 * CreateDownloadLink: a signed URL for a report or a code bundle.
 *
 * Promise: a link is given out only for an object that exists now, so NOT_FOUND means "not there (yet)", also while the
 * action runs; a link never outlives the cap.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ArtifactType,
  type CreateDownloadLinkRequest,
  type CreateDownloadLinkResponseSchema,
} from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { invalidArgument, notFound, toTimestamp, unimplemented } from "@flyte-ts/core";
import { joinUri, type ObjectStore } from "@flyte-ts/platform/object-store";
import { attemptOf } from "./attempts.ts";
import { codeBundleUri } from "./code-bundle.ts";
import type { ActionDirectory } from "./directory.ts";
import { lifetimeSeconds } from "./lifetime.ts";
import type { DataProxyLimits } from "./limits.ts";
import { fromRecordedUri } from "./store-errors.ts";

export interface DownloadLinkDeps {
  directory: ActionDirectory;
  objects: ObjectStore;
  limits: DataProxyLimits;
}

/** What a link leads to, and how a browser should treat it. */
interface Artifact {
  uri: string;
  what: string;
  contentType?: string;
  fileName?: string;
}

export async function createDownloadLink(
  { directory, objects, limits }: DownloadLinkDeps,
  request: CreateDownloadLinkRequest,
): Promise<MessageInitShape<typeof CreateDownloadLinkResponseSchema>> {
  const expiresInSeconds = lifetimeSeconds(request.expiresIn, limits.downloadSeconds, limits.maxDownloadSeconds);
  const { uri, what, ...browser } = await artifactOf(directory, request);
  if (!(await fromRecordedUri(objects.head(uri)))) throw notFound(`${what} is not in the store: ${uri} does not exist`);
  const signed = await fromRecordedUri(objects.signDownload(uri, { expiresInSeconds, ...browser }));
  return { preSignedUrls: { signedUrl: [signed.url], expiresAt: toTimestamp(signed.expiresAt) } };
}

async function artifactOf(directory: ActionDirectory, request: CreateDownloadLinkRequest): Promise<Artifact> {
  switch (request.artifactType) {
    case ArtifactType.REPORT:
      return report(directory, request);
    case ArtifactType.CODE_BUNDLE:
      return codeBundle(directory, request);
    default:
      throw invalidArgument(`artifact_type ${request.artifactType} has no downloads; ask for REPORT or CODE_BUNDLE`);
  }
}

async function report(directory: ActionDirectory, { source }: CreateDownloadLinkRequest): Promise<Artifact> {
  if (source.case !== "actionAttemptId") {
    throw invalidArgument("a report belongs to an attempt of an action; send action_attempt_id as the source");
  }
  const { actionId, attempt: asked } = source.value;
  if (!actionId) throw invalidArgument("action_attempt_id has no action_id; name the action");
  const action = await directory.action(actionId);
  const attempt = attemptOf(action, asked, actionId.name);
  return {
    uri: joinUri(action.attemptUri(attempt), "report.html"),
    what: `the report of attempt ${attempt} of action ${actionId.name}`,
    contentType: "text/html; charset=utf-8",
  };
}

async function codeBundle(directory: ActionDirectory, { source }: CreateDownloadLinkRequest): Promise<Artifact> {
  let spec: Awaited<ReturnType<ActionDirectory["taskSpec"]>> | undefined;
  let owner: string;
  switch (source.case) {
    case "actionAttemptId": {
      const { actionId } = source.value;
      if (!actionId) throw invalidArgument("action_attempt_id has no action_id; name the action");
      owner = `action ${actionId.name}`;
      spec = await (await directory.action(actionId)).taskSpec();
      break;
    }
    case "taskId":
      owner = `task ${source.value.name}`;
      spec = await directory.taskSpec(source.value);
      break;
    case "appId":
      throw unimplemented("code bundles of apps are not served here; ask for the task or action that holds the code");
    default:
      throw invalidArgument("source is not set; send action_attempt_id or task_id");
  }
  const uri = spec && codeBundleUri(spec);
  if (!uri) throw notFound(`${owner} has no code bundle; its code is part of its image`);
  return { uri, what: `the code bundle of ${owner}`, fileName: uri.slice(uri.lastIndexOf("/") + 1) };
}

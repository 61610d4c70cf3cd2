/**
 * The program in the containers around a raw container of a pod. A way in of its own: the rest of flyted is a server, and
 * this must start quickly and stay small.
 */
import {
  type CopilotFlags,
  type CopilotParts,
  type CopilotStore,
  CopilotUsageError,
  downloadJob,
  runDownload,
  runUpload,
  uploadJob,
} from "@flyte-ts/data-plane/copilot";

export interface CopilotOptions {
  /** `download` or `upload`. */
  verb: string | undefined;
  flags: CopilotFlags;
  /** Keys and address of the store, as tasks have them. */
  env: Readonly<Record<string, string | undefined>>;
  stderr(text: string): void;
  /** Aborted when the pod is told to end. */
  signal: AbortSignal;
}

/** Returns the exit code. */
export async function runCopilot({ verb, flags, env, stderr, signal }: CopilotOptions): Promise<number> {
  // The task may run as any user; what is brought for it is for everybody.
  process.umask(0);
  const parts: CopilotParts = { openStore: () => storeOf(env), say: (line) => stderr(`${line}\n`), signal };
  try {
    switch (verb) {
      case "download":
        return await runDownload(downloadJob(flags), parts);
      case "upload":
        return await runUpload(uploadJob(flags), parts);
      default:
        throw new CopilotUsageError(`say download or upload, not ${JSON.stringify(verb ?? "")}`);
    }
  } catch (error) {
    stderr(`flyte-ts copilot: ${(error as Error).message}\n`);
    return error instanceof CopilotUsageError ? 2 : 1;
  }
}

/** Inputs may be in other buckets than outputs: each bucket is opened when it is named. */
async function storeOf(env: CopilotOptions["env"]): Promise<CopilotStore> {
  // Loaded late: until a task has ended nothing is stored, and that may be hours.
  const { openS3Store, parseObjectUri } = await import("@flyte-ts/platform/object-store");
  const { FLYTE_AWS_ENDPOINT, FLYTE_AWS_ACCESS_KEY_ID, FLYTE_AWS_SECRET_ACCESS_KEY, AWS_REGION } = env;
  const options = {
    ...(FLYTE_AWS_ENDPOINT && { endpoint: FLYTE_AWS_ENDPOINT }),
    ...(AWS_REGION && { region: AWS_REGION }),
    ...(FLYTE_AWS_ACCESS_KEY_ID &&
      FLYTE_AWS_SECRET_ACCESS_KEY && {
        credentials: { accessKeyId: FLYTE_AWS_ACCESS_KEY_ID, secretAccessKey: FLYTE_AWS_SECRET_ACCESS_KEY },
      }),
  };
  const stores = new Map<string, CopilotStore>();
  const at = (uri: string): CopilotStore => {
    const { bucket } = parseObjectUri(uri);
    const store = stores.get(bucket) ?? openS3Store({ ...options, root: `s3://${bucket}` });
    stores.set(bucket, store);
    return store;
  };
  return {
    get: async (uri, get) => at(uri).get(uri, get),
    put: async (uri, body, put) => at(uri).put(uri, body, put),
    stream: async (uri, range) => at(uri).stream(uri, range),
    list: async (prefix, list) => at(prefix).list(prefix, list),
  };
}

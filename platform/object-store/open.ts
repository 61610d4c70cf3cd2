/**
 * Opens the object store a configuration asks for: an S3 by URL, or else a folder of this machine, which comes with the
 * embedded S3 endpoint for tasks and signed URLs.
 *
 * @example
 * const { store, endpoint } = await openObjectStore({ folder: "./objects", publicUrl: () => url, credentials });
 */
import { type FileStore, openFileStore, type Sync } from "./file/index.ts";
import type { ObjectStore } from "./object-store.ts";
import { openS3Store, type S3StoreOptions } from "./s3/index.ts";
import {
  type S3Credentials,
  type S3Endpoint,
  type S3EndpointOptions,
  s3Endpoint,
  urlSigner,
} from "./s3-endpoint/index.ts";

/** A store that lives elsewhere. */
export interface RemoteStoreOptions extends Omit<S3StoreOptions, "root"> {
  /** `s3://bucket` or `s3://bucket/prefix`. */
  readonly url: string;
}

/** A store in a folder, served by this process. */
export interface EmbeddedStoreOptions {
  readonly url?: undefined;
  readonly folder: string;
  /** Default `s3://flyte-data`. */
  readonly root?: string;
  readonly sync?: Sync;
  /** Origin at which tasks and users reach this process; asked for each signed URL. */
  readonly publicUrl: () => string;
  /** The key pair of tasks and of signed URLs. */
  readonly credentials: S3Credentials;
  readonly onError?: S3EndpointOptions["onError"];
}

export interface OpenedObjectStore {
  readonly store: ObjectStore;
  /** Present when this process has to serve the store itself. */
  readonly endpoint?: S3Endpoint;
  close(): Promise<void>;
}

export async function openObjectStore(options: RemoteStoreOptions | EmbeddedStoreOptions): Promise<OpenedObjectStore> {
  if (options.url !== undefined) {
    const { url, ...rest } = options;
    const store = openS3Store({ ...rest, root: url });
    return { store, close: () => store.close() };
  }
  const { credentials, onError, folder, root = "s3://flyte-data", sync, publicUrl } = options;
  const signer = urlSigner({ baseUrl: publicUrl, credentials });
  const store: FileStore = await openFileStore({ folder, root, signer, ...(sync !== undefined && { sync }) });
  const endpoint = s3Endpoint({
    store,
    lookup: (accessKeyId) => (accessKeyId === credentials.accessKeyId ? credentials : undefined),
    ...(onError !== undefined && { onError }),
  });
  return {
    store,
    endpoint,
    async close() {
      endpoint.close();
      await store.close();
    },
  };
}

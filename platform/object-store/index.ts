/** Object storage: the port, its errors and addresses, and the adapters. */
export {
  ContentMismatchError,
  InvalidKeyError,
  ObjectExistsError,
  ObjectNotFoundError,
  ObjectStoreError,
  type ObjectStoreErrorCode,
  ObjectTooLargeError,
  StoreFullError,
  StoreUnavailableError,
} from "./errors.ts";
export { type FileStore, type FileStoreOptions, openFileStore, type Sync, type UrlSigner } from "./file/index.ts";
export {
  type ByteRange,
  type GetOptions,
  type ListedObject,
  type ListOptions,
  type ListPage,
  MAX_LIST_LIMIT,
  MAX_SIGNED_SECONDS,
  MAX_UPLOAD_SECONDS,
  type ObjectBody,
  type ObjectHead,
  type ObjectStore,
  type ObjectStream,
  type PutOptions,
  type PutResult,
  type SignDownloadOptions,
  type SignedDownload,
  type SignedUpload,
  type SignUploadOptions,
} from "./object-store.ts";
export {
  type EmbeddedStoreOptions,
  type OpenedObjectStore,
  openObjectStore,
  type RemoteStoreOptions,
} from "./open.ts";
export { openS3Store, type S3StoreOptions } from "./s3/index.ts";
export {
  type CredentialLookup,
  type S3Credentials,
  type S3Endpoint,
  type S3EndpointOptions,
  s3Endpoint,
  type UrlSignerOptions,
  urlSigner,
} from "./s3-endpoint/index.ts";
export { isBucketName, joinUri, type ObjectAddress, objectUri, parseObjectUri } from "./uri.ts";

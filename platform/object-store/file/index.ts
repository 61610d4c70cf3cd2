export { type FileStore, type FileStoreOptions, openFileStore, type UrlSigner } from "./file-store.ts";
export { type Multipart, multipart, type PartRef, UploadError } from "./multipart.ts";
export { clampRange } from "./read.ts";
export type { Sync } from "./write.ts";

export { type FileStore, type FileStoreOptions, openFileStore, type UrlSigner } from "./file-store.ts";
export type { Sync } from "./write.ts";

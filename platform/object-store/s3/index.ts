export type { S3StoreOptions } from "./client.ts";
export { openS3Store } from "./s3-store.ts";

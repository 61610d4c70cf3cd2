export type { CredentialLookup, S3Credentials } from "./authenticate.ts";
export { type S3Endpoint, type S3EndpointOptions, s3Endpoint } from "./s3-endpoint.ts";
export { type UrlSignerOptions, urlSigner } from "./url-signer.ts";

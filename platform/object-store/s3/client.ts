/** The AWS client, set up so that it works with servers other than AWS and gives up on dead connections. */
import { S3Client } from "@aws-sdk/client-s3";

export interface S3StoreOptions {
  /** Where new objects go, e.g. `s3://bucket/prefix`. */
  readonly root: string;
  /** More buckets that may be read and written with the same keys. */
  readonly buckets?: readonly string[];
  /** Absent for AWS itself. */
  readonly endpoint?: string;
  /** The endpoint in signed URLs, when clients reach the store under another name. */
  readonly publicEndpoint?: string;
  readonly region?: string;
  /** `/bucket/key` instead of `bucket.host/key`; by default wherever there is an endpoint. */
  readonly pathStyle?: boolean;
  /** Absent: the AWS chain (environment, profile, role). */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** A connection silent for this long counts as dead; default one minute. */
  readonly idleTimeoutMs?: number;
}

/** A client for the given endpoint; AWS itself when there is none. */
export function makeClient(options: S3StoreOptions, endpoint: string | undefined): S3Client {
  return new S3Client({
    region: options.region ?? process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? "us-east-1",
    forcePathStyle: options.pathStyle ?? endpoint !== undefined,
    // Many servers know neither the newer checksums nor their trailers.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: 5_000, socketTimeout: options.idleTimeoutMs ?? 60_000 },
    ...(endpoint !== undefined && { endpoint }),
    ...(options.credentials !== undefined && { credentials: { ...options.credentials } }),
  });
}

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { canonicalQuery, deriveSigningKey, parseAmzDate, signature, toAmzDate } from "./sigv4.ts";

// The worked examples of "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference.
const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SCOPE = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", day: "20130524", region: "us-east-1", service: "s3" };
const DATE = "20130524T000000Z";
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

describe("signature version 4", () => {
  it("signs the documented GET with a range", () => {
    const hex = signature(
      {
        method: "GET",
        path: "/test.txt",
        query: [],
        headers: [
          ["host", "examplebucket.s3.amazonaws.com"],
          ["range", "bytes=0-9"],
          ["x-amz-content-sha256", EMPTY],
          ["x-amz-date", DATE],
        ],
        payloadHash: EMPTY,
      },
      SCOPE,
      DATE,
      deriveSigningKey(SECRET, SCOPE),
    );
    assert.equal(hex, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  });

  it("signs the documented presigned GET", () => {
    const hex = signature(
      {
        method: "GET",
        path: "/test.txt",
        query: [
          ["X-Amz-SignedHeaders", "host"],
          ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
          ["X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"],
          ["X-Amz-Date", DATE],
          ["X-Amz-Expires", "86400"],
        ],
        headers: [["host", "examplebucket.s3.amazonaws.com"]],
        payloadHash: "UNSIGNED-PAYLOAD",
      },
      SCOPE,
      DATE,
      deriveSigningKey(SECRET, SCOPE),
    );
    assert.equal(hex, "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
  });

  it("orders and encodes a query", () => {
    const query = [
      ["b", "2"],
      ["a", "é/ "],
      ["a", "+!"],
      ["uploads", ""],
    ] as const;
    assert.equal(canonicalQuery(query), "a=%2B%21&a=%C3%A9%2F%20&b=2&uploads=");
  });

  it("writes and reads dates, and no other text", () => {
    const date = new Date("2026-01-31T23:59:58.123Z");
    assert.equal(toAmzDate(date), "20260131T235958Z");
    assert.equal(parseAmzDate("20260131T235958Z")?.toISOString(), "2026-01-31T23:59:58.000Z");
    for (const text of ["", "20260131", "20261331T000000Z", "2026-01-31T23:59:58Z"]) {
      assert.equal(parseAmzDate(text), undefined);
    }
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { migrations } from "../testing.ts";
import { digestKey, loadSpecs, type StoredSpec, specDigest, storeSpecs } from "./index.ts";

function stored(text: string): StoredSpec {
  const spec = Buffer.from(text);
  return { digest: specDigest(spec), spec };
}

test("specifications are stored once and come back byte by byte", async (t) => {
  const database = await testDatabase(t, { migrations });
  const [a, b, binary] = [
    stored("a"),
    stored("b"),
    { digest: specDigest(Buffer.of(0, 255, 92)), spec: Buffer.of(0, 255, 92) },
  ];
  await storeSpecs(database, []);
  await storeSpecs(database, [a, b, a]);
  await storeSpecs(database, [b, binary]);
  const found = await loadSpecs(database, [binary.digest, a.digest, stored("missing").digest]);
  assert.deepEqual(
    new Map([...found].map(([key, spec]) => [key, Buffer.from(spec)])),
    new Map([a, binary].map(({ digest, spec }) => [digestKey(digest), Buffer.from(spec)])),
  );
  assert.equal((await loadSpecs(database, [])).size, 0);
});

test("transactions that bring the same new specifications in other orders wait for each other", async (t) => {
  const database = await testDatabase(t, { migrations });
  const specs = Array.from({ length: 40 }, (_, i) => stored(`spec ${i}`));
  const store = (mine: StoredSpec[]) => database.transaction((sql) => storeSpecs(sql, mine));
  await Promise.all(Array.from({ length: 8 }, (_, i) => store(i % 2 ? specs : [...specs].reverse())));
  assert.equal(
    (
      await loadSpecs(
        database,
        specs.map(({ digest }) => digest),
      )
    ).size,
    40,
  );
});

test("a view into a larger buffer is taken as the view", () => {
  const large = Buffer.from("xxabcxx");
  assert.deepEqual(Buffer.from(specDigest(large.subarray(2, 5))), Buffer.from(specDigest(Buffer.from("abc"))));
  assert.equal(digestKey(large.subarray(2, 5)), "616263");
});

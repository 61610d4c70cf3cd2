import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { objectStoreContract } from "../contract-suite.ts";
import { openFileStore } from "./file-store.ts";

for (const root of ["s3://flyte-data", "s3://flyte-data/some/prefix"]) {
  objectStoreContract(`file, root ${root}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "object-store-"));
    const store = await openFileStore({ folder, root });
    return {
      store,
      close: async () => {
        await store.close();
        await rm(folder, { recursive: true });
      },
    };
  });
}

// The contract's TypeScript: generated from the committed descriptor set and our own .proto files into contract/gen.
// Nothing is fetched: the compiler and its plugin are npm packages, all inputs are in the repository.

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { capture, causeIn } from "./child.mjs";
import { filesBelow, hashOf, isStamped, readText, stamp } from "./stamp.mjs";
import { SetupError } from "./tell.mjs";

/** @param {string} root */
export function contractStep(root) {
  const contract = join(root, "contract");
  const stampFile = join(contract, "gen/.stamp");
  const hash = () => hashOf(["1", ...toolVersions(root), ...inputs(root).map((file) => ({ file }))]);
  return {
    isDone: () => isStamped(stampFile, hash()),
    /** @param {string} node the Node that runs the plugin */
    async run(tell, node) {
      await tell.step("contract bindings (buf generate)", async () => {
        const before = hash();
        const made = await generate(root, node);
        stamp(join(made, "gen/.stamp"), before);
        // Swapped in whole: a program that imports meanwhile finds the old or the new bindings, not half of them.
        const old = join(made, "old");
        if (existsSync(join(contract, "gen"))) renameSync(join(contract, "gen"), old);
        renameSync(join(made, "gen"), join(contract, "gen"));
        rmSync(made, { recursive: true, force: true });
      });
    },
  };
}

/** Generates into a new folder and returns it. The bindings are in its `gen`. */
async function generate(root, node) {
  mkdirSync(join(root, ".tools"), { recursive: true });
  const made = mkdtempSync(join(root, ".tools/contract-"));
  const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
  // The plugin is a script that asks for `node` by name: it gets the one we chose.
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}` };
  const args = [buf, "generate", "--template", join(root, "scripts/buf.gen.yaml"), "--output", made];
  const result = await capture(node, args, { cwd: join(root, "contract"), env });
  if (result.code === 0) return made;
  rmSync(made, { recursive: true, force: true });
  throw new SetupError(
    `buf generate failed: ${causeIn(result.output)}`,
    "if a .proto file was changed, correct it; otherwise remove node_modules and run this again",
    result.output,
  );
}

function inputs(root) {
  const below = ["contract/descriptors", "contract/proto"].flatMap((folder) => filesBelow(join(root, folder)));
  return [...below.filter((file) => /\.(binpb|proto)$/.test(file)), join(root, "scripts/buf.gen.yaml")];
}

function toolVersions(root) {
  return ["@bufbuild/buf", "@bufbuild/protoc-gen-es"].map((name) => {
    const text = readText(join(root, "node_modules", name, "package.json"));
    return text === undefined ? "" : JSON.parse(text).version;
  });
}

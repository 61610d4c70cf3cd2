// What is in the image and how it starts: the one list that the file system, the archive of the tests and, held to it by
// a test, the Dockerfile follow.

/** No name of a user: Kubernetes must be able to see by the number that it is not root. */
export const USER = "65532:65532";

/** Flags as in ./flyte-ts, which says why. */
export const ENTRYPOINT = [
  "/usr/local/bin/node",
  "--max-semi-space-size=16",
  "--heap-growing-percent=60",
  "/app/user-plane/cli/main.ts",
];

export const ENVIRONMENT = { NODE_ENV: "production" };

export const WORKDIR = "/app";

/** Workspaces that a server runs from. */
export const WORKSPACES = ["contract", "core", "platform", "control-plane", "data-plane", "user-plane/cli", "flyted"];

/** Is this file of a workspace only there to test or to develop the others? @param {string} path inside of the workspace */
export function isLeftOut(path) {
  const names = path.split("/");
  const name = names.at(-1) ?? "";
  return (
    names.some((part) => ["node_modules", "testing", "testdata", "__pycache__"].includes(part)) ||
    /\.test\.(ts|mjs)$|-suite\.ts$|^testing\.ts$|^test-endpoint\.ts$|\.py$/.test(name)
  );
}

/** Files of packages that no program reads: types, maps, pages, and builds for bundlers. Licences stay. */
export const NEVER_READ = [
  /\.d\.[cm]?ts$/,
  /\.map$/,
  /(^|\/)(?!licen[cs]e|notice)[^/]*\.(md|markdown)$/i,
  /^@(aws-sdk|smithy)\/.*\/dist-(es|types)\//,
];

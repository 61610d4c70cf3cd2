import manifest from "./package.json" with { type: "json" };

/** Of flyte-ts as a whole: its rooms are released together. */
export const VERSION: string = manifest.version;

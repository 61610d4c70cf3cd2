/**
 * A pod over the template it is based on. Containers are merged by name; what else has a name (volumes, variables, …)
 * replaces the template's of that name; tolerations and their like follow the template's; other values of the pod win.
 * Pure.
 */
import type { Container, Passed, PodSpec, PodTemplateSpec } from "./objects.ts";

/** Lists whose elements are told apart by a field. */
const keys: Readonly<Record<string, string>> = {
  volumes: "name",
  env: "name",
  imagePullSecrets: "name",
  volumeMounts: "mountPath",
  volumeDevices: "devicePath",
  ports: "containerPort",
  hostAliases: "ip",
};

/** Lists to which the pod adds. */
const appended: ReadonlySet<string> = new Set([
  "tolerations",
  "envFrom",
  "topologySpreadConstraints",
  "readinessGates",
  "schedulingGates",
]);

/** Containers of a template with these names are no containers, but the base of all, or of the primary one. */
export const magic = { all: "default", primary: "primary", allInit: "default-init", primaryInit: "primary-init" };

/**
 * The pod's spec with everything the template gives. The template's magic containers are the bases of the pod's
 * containers; its other ones are merged into the pod's of the same name, or join it (a sidecar for every task).
 */
export function onTemplate(template: PodTemplateSpec, pod: PodSpec, primary: string, primaryInit?: string): PodSpec {
  const { containers = [], initContainers = [], ...rest } = template.spec ?? {};
  const { containers: own, initContainers: ownInit = [], ...podRest } = pod;
  const inits = basedOn(initContainers, ownInit, magic.allInit, magic.primaryInit, primaryInit);
  return {
    ...(merged(rest, podRest) as Omit<PodSpec, "containers">),
    ...(inits.length > 0 ? { initContainers: inits } : {}),
    containers: basedOn(containers, own, magic.all, magic.primary, primary),
  };
}

function basedOn(
  given: readonly Container[],
  own: readonly Container[],
  all: string,
  first: string,
  primary: string | undefined,
): Container[] {
  const named = (name: string) => given.find((one) => one.name === name);
  const based = (container: Container): Container => {
    const bases = [named(all), container.name === primary ? named(first) : undefined, named(container.name)];
    return bases.reduceRight<Container>((over, base) => (base ? mergedContainer(base, over) : over), container);
  };
  const mine = own.map(based);
  const names = new Set([all, first, ...own.map(({ name }) => name)]);
  const sidecars = given.filter(({ name }) => !names.has(name));
  return [...mine, ...sidecars];
}

function mergedContainer(base: Container, over: Container): Container {
  return merged(base as unknown as Passed, over as unknown as Passed) as unknown as Container;
}

/** `over` on top of `base`, deeply. */
export function merged(base: Passed, over: Passed): Passed {
  const result: Record<string, unknown> = { ...base };
  for (const [field, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const below = result[field];
    const key = keys[field];
    if (Array.isArray(below) && Array.isArray(value) && key) result[field] = byKey(below, value, key);
    else if (Array.isArray(below) && Array.isArray(value) && appended.has(field)) result[field] = [...below, ...value];
    else if (isRecord(below) && isRecord(value)) result[field] = merged(below, value);
    else result[field] = value;
  }
  return result;
}

/** What has the same key takes the place of the template's. */
function byKey(base: unknown[], over: unknown[], key: string): unknown[] {
  const keyOf = (one: unknown) => (isRecord(one) ? one[key] : undefined);
  const replaced = new Map(over.map((one) => [keyOf(one), one]));
  const before = new Set(base.map(keyOf));
  return [...base.map((one) => replaced.get(keyOf(one)) ?? one), ...over.filter((one) => !before.has(keyOf(one)))];
}

function isRecord(value: unknown): value is Passed {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

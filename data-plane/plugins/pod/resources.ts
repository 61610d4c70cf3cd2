/** CPU, memory, storage and accelerators of a task's container. Pure. */
import {
  GPUAccelerator_DeviceClass,
  type Resources,
  Resources_ResourceName,
} from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { BadSpecError } from "./bad-spec.ts";
import type { PodConfig } from "./config.ts";
import type { Container, Quantities } from "./objects.ts";
import { quantity } from "./quantity.ts";

type Required = NonNullable<Container["resources"]>;

const names: ReadonlyMap<number, string> = new Map([
  [Resources_ResourceName.CPU, "cpu"],
  [Resources_ResourceName.MEMORY, "memory"],
  [Resources_ResourceName.STORAGE, "ephemeral-storage"],
  [Resources_ResourceName.EPHEMERAL_STORAGE, "ephemeral-storage"],
]);

/** What a container task asks for, in Kubernetes' words. `accelerator`: the resource that stands for its GPU. */
export function asked(resources: Resources | undefined, accelerator: string): Required {
  const amounts = (entries: Resources["requests"] = []): Quantities =>
    Object.fromEntries(
      entries.flatMap(({ name, value }) => {
        const resource = name === Resources_ResourceName.GPU ? accelerator : names.get(name);
        return resource === undefined || value === "" ? [] : [[resource, value]];
      }),
    );
  return { requests: amounts(resources?.requests), limits: amounts(resources?.limits) };
}

/** The resource that a pod asks for to get accelerators of a class. */
export function acceleratorResource(config: PodConfig, deviceClass: number | undefined): string {
  const name =
    Object.entries(GPUAccelerator_DeviceClass).find(([, value]) => value === (deviceClass ?? 0))?.[0] ?? "NVIDIA_GPU";
  const resource = config.accelerators.resources[name];
  if (resource) return resource;
  throw new BadSpecError(`this cluster knows no resource for accelerators of the class ${name}: choose another one`);
}

/**
 * Completes what the task's container asks for: of request and limit the one that is not named is the other one, and what
 * is not named at all comes from the cluster. Throws {@link BadSpecError} for what can never be.
 */
export function completed(given: Required, config: PodConfig): Required {
  const requests = normalised(given.requests);
  const limits = normalised(given.limits);
  const defaults = { requests: quantities(config.requests), limits: quantities(config.limits) };
  const all = [requests, limits, defaults.requests, defaults.limits].flatMap((amounts) => Object.keys(amounts));
  for (const name of new Set(all)) {
    const named = requests[name] ?? limits[name];
    if (named === undefined) {
      const request = defaults.requests[name] ?? (defaults.limits[name] as string);
      const limit = defaults.limits[name] ?? request;
      requests[name] = request;
      limits[name] = more(request, limit) ? request : limit;
    } else {
      requests[name] ??= named;
      limits[name] ??= named;
    }
  }
  check(requests, limits, quantities(config.maximum));
  const { requests: _requests, limits: _limits, ...rest } = given;
  return { ...rest, requests, limits };
}

/** The other containers of a pod have what they were written with, within what this cluster gives. */
export function within(given: Required | undefined, config: PodConfig): void {
  check(normalised(given?.requests), normalised(given?.limits), quantities(config.maximum));
}

function check(requests: Quantities, limits: Quantities, maximum: Quantities): void {
  for (const [kind, amounts] of [["request", requests] as const, ["limit", limits] as const]) {
    for (const [name, value] of Object.entries(amounts)) {
      const size = quantity(value);
      if (size === undefined || size < 0) {
        throw new BadSpecError(
          `the ${kind} ${name} = ${JSON.stringify(value)} is no quantity: write it like 500m or 2Gi`,
        );
      }
      const most = maximum[name];
      if (most !== undefined && more(value, most)) {
        throw new BadSpecError(
          `the ${kind} ${name} = ${value} is more than the ${most} that this cluster gives a task`,
        );
      }
    }
  }
  for (const [name, limit] of Object.entries(limits)) {
    const request = requests[name];
    if (request !== undefined && more(request, limit)) {
      throw new BadSpecError(`the request ${name} = ${request} is more than its limit ${limit}: raise the limit`);
    }
  }
}

/** Amounts of the configuration in Kubernetes' words. */
export function quantities(amounts: PodConfig["requests"]): Quantities {
  const { cpu, memory, ephemeralStorage } = amounts;
  const entries = { cpu, memory, "ephemeral-storage": ephemeralStorage };
  return Object.fromEntries(
    Object.entries(entries).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Pods written by hand may hold numbers. */
function normalised(amounts: Quantities | undefined): Quantities {
  return Object.fromEntries(Object.entries(amounts ?? {}).map(([name, value]) => [name, String(value)]));
}

function more(a: string, b: string): boolean {
  return (quantity(a) ?? 0) > (quantity(b) ?? 0);
}

/**
 * A stored PodTemplate as it was written. The API server fills in its defaults, which nobody asked for, and which would
 * win over the cluster's configuration and over what the task's own image calls for. Pure.
 */
import { magic } from "./merge.ts";
import type { Container, PodTemplateSpec } from "./objects.ts";

/** Of a pod; `restartPolicy` is ours anyway. */
const ofPod: Readonly<Record<string, unknown>> = {
  schedulerName: "default-scheduler",
  terminationGracePeriodSeconds: 30,
};
const ofContainer: Readonly<Record<string, unknown>> = {
  terminationMessagePolicy: "File",
  terminationMessagePath: "/dev/termination-log",
};
const bases: ReadonlySet<string> = new Set(Object.values(magic));

/** What equals a default is taken for one. */
export function withoutServerDefaults({ spec, ...rest }: PodTemplateSpec): PodTemplateSpec {
  if (!spec) return rest;
  const { containers, initContainers, ...pod } = spec;
  return {
    ...rest,
    spec: {
      ...without(pod, ofPod),
      ...(containers && { containers: containers.map(written) }),
      ...(initContainers && { initContainers: initContainers.map(written) }),
    },
  };
}

/** How to pull follows from the image, and the image of a base is none. */
function written(container: Container): Container {
  const pull = bases.has(container.name) ? { imagePullPolicy: pullDefault(container.image) } : {};
  return without(container, { ...ofContainer, ...pull });
}

function pullDefault(image = ""): string {
  const name = image.slice(image.lastIndexOf("/") + 1);
  const pinned = name.includes("@") || /:(?!latest$)/.test(name);
  return pinned ? "IfNotPresent" : "Always";
}

function without<T extends object>(all: T, defaults: Readonly<Record<string, unknown>>): T {
  return Object.fromEntries(Object.entries(all).filter(([field, value]) => defaults[field] !== value)) as T;
}

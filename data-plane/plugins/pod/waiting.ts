/** What a container waits for, and whether it is a trouble. Pure. */
import type { AttemptError } from "../../executor/index.ts";

export interface WaitingContainer {
  container: string;
  image: string;
  reason?: string;
  message?: string;
}

export interface Trouble {
  /** The same kind goes on under changing reasons. */
  kind: string;
  /** How long it may pass by itself. */
  grace: "none" | "image" | "container";
  said: string;
  /** Said between two tries: `Back-off pulling image`. */
  between: boolean;
  error(said: string, graceMs: number): AttemptError;
}

/** Undefined for what is on its way. */
export function troubleOf({ container, image, reason = "", message = "" }: WaitingContainer): Trouble | undefined {
  const row = reason === "" ? undefined : rows[reason];
  if (reason === "" || row === "fine") return undefined;
  const rule = row ?? unknownReason;
  return {
    kind: `${rule.grace === "image" ? "image" : reason}/${container}`,
    grace: rule.grace,
    said: message,
    between: reason === "ImagePullBackOff",
    error(said, graceMs) {
      const waited = graceMs > 0 ? ` for ${graceMs / 1000} s` : "";
      const what = `the container "${container}" could not be started${waited}: ${reason}${said === "" ? "" : `: ${said}`}`;
      const advice = rule.advice === "" ? "" : `; ${rule.advice.replace("IMAGE", JSON.stringify(image))}`;
      const system = rule.kind === "system" || (rule.grace === "image" && ofRegistry.test(said));
      return { code: reason, message: what + advice, kind: system ? "system" : "user", recoverable: rule.recoverable };
    },
  };
}

interface Rule {
  grace: Trouble["grace"];
  kind: "user" | "system";
  recoverable: boolean;
  advice: string;
}

const image: Rule = {
  grace: "image",
  kind: "user",
  recoverable: true,
  advice: "check that the image IMAGE exists and that the cluster may pull it (image pull secrets)",
};
const config: Rule = {
  grace: "none",
  kind: "user",
  recoverable: false,
  advice: "correct what the container refers to: Secrets, ConfigMaps, users",
};
const created: Rule = { grace: "container", kind: "user", recoverable: false, advice: "" };
const hook: Rule = { grace: "container", kind: "user", recoverable: true, advice: "" };
/** Reasons of kubelets to come. */
const unknownReason: Rule = { grace: "container", kind: "system", recoverable: true, advice: "" };

const rows: Readonly<Record<string, Rule | "fine">> = {
  ContainerCreating: "fine",
  PodInitializing: "fine",
  CreateContainerConfigError: config,
  InvalidImageName: { ...config, advice: "correct the image's name IMAGE" },
  SignatureValidationFailed: { ...config, advice: "sign the image IMAGE, or use one that is" },
  ErrImagePull: image,
  ImagePullBackOff: image,
  ImageInspectError: image,
  ErrImageNeverPull: image,
  RegistryUnavailable: { ...image, kind: "system", advice: "the registry of IMAGE gives no answer" },
  CreateContainerError: created,
  RunContainerError: created,
  PostStartHookError: hook,
  PreStartHookError: hook,
  CrashLoopBackOff: hook,
};

/** The registry, or the way to it: no image is at fault. */
const ofRegistry =
  /\b429\b|too ?many ?requests|dial tcp|i\/o timeout|connection re(fused|set)|no such host|TLS handshake timeout|\b50[0234]\b/i;

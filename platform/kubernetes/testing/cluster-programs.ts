/** The programs of a test cluster by their names in its file of pids: to kill one and start it again as it was. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isRunning, startTimeOf } from "./process-of.ts";

export type ProgramName =
  | "etcd"
  | "kube-apiserver"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "containerd"
  | "kubelet"
  | "kwok";

export interface ClusterPrograms {
  pid(name: ProgramName): number;
  /** Ends it at once; resolves when it is gone. */
  kill(name: ProgramName): Promise<void>;
  /** Starts it as it was before `kill`. */
  start(name: ProgramName): Promise<void>;
  signal(name: ProgramName, signal: NodeJS.Signals): void;
}

export function clusterPrograms(run: string): ClusterPrograms {
  const pids = join(run, "pids");
  const commands = new Map<ProgramName, string[]>();

  function current(name: ProgramName): { pid: number; started: string } {
    const lines = readFileSync(pids, "utf8").trim().split("\n");
    const found = lines.map((line) => line.split(" ")).findLast(([word]) => word === name);
    if (!found) throw new Error(`${name} is no program of the cluster in ${run}`);
    return { pid: Number(found[1]), started: found[2] as string };
  }

  function running(name: ProgramName): { pid: number; started: string } {
    const program = current(name);
    if (!isRunning(program)) throw new Error(`${name} (process ${program.pid}) does not run`);
    return program;
  }

  return {
    pid: (name) => running(name).pid,
    signal: (name, signal) => void process.kill(running(name).pid, signal),
    async kill(name) {
      const program = running(name);
      commands.set(name, readFileSync(`/proc/${program.pid}/cmdline`, "utf8").split("\0").slice(0, -1));
      process.kill(program.pid, "SIGKILL");
      while (isRunning(program)) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async start(name) {
      const [program = "", ...args] = commands.get(name) ?? [];
      if (program === "") throw new Error(`${name} was not killed here, so nothing is to be started again`);
      const log = openSync(join(run, "log", `${name}.log`), "a");
      const child = spawn(program, args, { detached: true, stdio: ["ignore", log, log], cwd: run });
      await once(child, "spawn");
      child.unref();
      const pid = child.pid as number;
      appendFileSync(pids, `${name} ${pid} ${startTimeOf(pid)}\n`);
    },
  };
}

/**
 * A host in a process of its own, to be killed: leases shell scripts given as JSON on the command line
 * (`{ "<name>": "<script>" }`) and prints `<key> <phase>…` for each attempt once it runs.
 */
import { keyOf, shellLease } from "../../../executor/testing/leases.ts";
import { startHost } from "./host.ts";

const [dataDir = "", scripts = "{}"] = process.argv.slice(2);
const machine = await startHost(dataDir);
for (const [name, script] of Object.entries(JSON.parse(scripts) as Record<string, string>)) {
  const lease = shellLease(name, script);
  machine.plane.lease(lease);
  void machine.plane
    .until(() => machine.plane.told(keyOf(lease)).phases.includes("RUNNING"))
    .then(() => console.log(`${keyOf(lease)} RUNNING`));
}
// Lives until it is killed.
setInterval(() => {}, 60_000);

/**
 * Gathers what a stream writes in one turn of the event loop into one write to the socket. A watch that has a thousand
 * changes to tell makes a handful of system calls of them; a lone message leaves at the end of its turn.
 */
import type { ServerResponse } from "node:http";

export function gatherWrites(res: ServerResponse): void {
  const write = res.write.bind(res) as ServerResponse["write"];
  let gathering = false;
  const flush = () => {
    if (!gathering) return;
    gathering = false;
    res.uncork();
  };
  const gathered = (...args: Parameters<ServerResponse["write"]>): boolean => {
    if (!gathering) {
      gathering = true;
      res.cork();
      setImmediate(flush);
    }
    return write(...args);
  };
  res.write = gathered as ServerResponse["write"];
  // Node loses the last pieces of an answer that ends while it is corked.
  const end = res.end.bind(res) as ServerResponse["end"];
  const flushed = (...args: Parameters<ServerResponse["end"]>): ServerResponse => {
    flush();
    return end(...args);
  };
  res.end = flushed as ServerResponse["end"];
}

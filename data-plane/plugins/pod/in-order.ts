/** Several containers' lines, each in its own order, as one sequence in the order of their times. */
import type { ContainerLines } from "./container-log.ts";

interface Head<S> {
  source: S;
  batches: AsyncIterator<ContainerLines>;
  batch: ContainerLines;
  next: number;
}

/** Asks a source for more when what it gave was taken. Sources do not throw. */
export async function* inOrder<S>(
  sources: readonly { source: S; batches: AsyncIterable<ContainerLines> }[],
): AsyncGenerator<{ source: S } & ContainerLines> {
  const heads: Head<S>[] = [];
  for (const { source, batches } of sources) {
    await refill({ source, batches: batches[Symbol.asyncIterator](), batch: { lines: [], gap: false }, next: 0 });
  }
  for (;;) {
    heads.sort((a, b) => timeOf(a) - timeOf(b));
    const [first, second] = heads;
    if (!first) return;
    const until = second ? timeOf(second) : Number.POSITIVE_INFINITY;
    const { source, batch } = first;
    let end = first.next + 1;
    while (end < batch.lines.length && (batch.lines[end]?.atMs ?? 0) <= until) end += 1;
    yield { source, lines: batch.lines.slice(first.next, end), gap: batch.gap && first.next === 0 };
    first.next = end;
    if (end < batch.lines.length) continue;
    heads.shift();
    await refill(first);
  }

  async function refill(head: Head<S>): Promise<void> {
    for (;;) {
      const next = await head.batches.next();
      if (next.done) return;
      if (next.value.lines.length === 0) continue;
      heads.push({ ...head, batch: next.value, next: 0 });
      return;
    }
  }
}

function timeOf<S>({ batch, next }: Head<S>): number {
  return batch.lines[next]?.atMs ?? 0;
}

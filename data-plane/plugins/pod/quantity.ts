/** Kubernetes' quantities (`500m`, `1Gi`, `2e3`), to be compared. Pure. */

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The amount; undefined when Kubernetes would not take the text. Exact enough to tell more from less. */
export function quantity(text: string): number | undefined {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text.trim());
  if (!match) return undefined;
  const [, number = "", exponent, unit = ""] = match;
  return exponent === undefined ? Number(number) * (factors[unit] ?? 1) : Number(`${number}e${exponent}`);
}

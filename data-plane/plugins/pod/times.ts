/** Kubernetes' times: text, in whole seconds. Pure. */

export function dateOf(text: string | null | undefined): Date | undefined {
  const date = text ? new Date(text) : undefined;
  return date && !Number.isNaN(date.getTime()) ? date : undefined;
}

/**
 * The best that is known of a moment: Kubernetes cuts off the fraction of a second, so a moment within the second before
 * now is nearer to now. Never before `floor`, so that phases follow each other in time.
 */
export function momentOf(noted: Date | undefined, now: Date, floor: Date | undefined): Date {
  const recent = noted === undefined || now.getTime() - noted.getTime() < 1000;
  const at = recent ? now : noted;
  return floor && at < floor ? floor : at;
}

/**
 * What must never be read in a log: credentials by the name of their field, and in URLs by their shape.
 *
 * Promise: fields called authorization, cookie, password, secret, token, key and the like print as `[redacted]` at any
 * depth we log; the query of a signed URL and the password of a URL are removed wherever they appear in the line.
 */
const secretName =
  /^(?:.*[-_.]?(?:authorization|cookie|passw(?:or)?d|secret|token|credentials?|private[-_]?key|api[-_]?key|access[-_]?key)|.*secret.*key.*|databaseUrl)$/i;
/** Names that only look like one of them. */
const harmless = /(?:page|next|continuation)[-_]?token$|^tokens?(?:Count|Used)$/i;

const signedQuery =
  /\?[^\s"'\\]*?\b(?:x-amz-(?:signature|credential|security-token)|signature|sig|token|awsaccesskeyid)=[^\s"'\\]*/gi;
const urlPassword = /([a-z][\w+.-]*:\/\/[^\s:/@"'\\]*):[^\s/@"'\\]*@/gi;

export const redactedText = "[redacted]";

export function isSecretName(name: string): boolean {
  return secretName.test(name) && !harmless.test(name);
}

/** Removes signed queries and passwords from any text. */
export function redactText(text: string): string {
  return text.replace(signedQuery, `?${redactedText}`).replace(urlPassword, `$1:${redactedText}@`);
}

const deepest = 6;

/** A copy of the fields of a log line in which secret fields are replaced; errors and other classes stay as they are. */
export function redactFields(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null && value !== "" && isSecretName(name)) copy[name] = redactedText;
    else copy[name] = redactValue(value, depth);
  }
  return copy;
}

function redactValue(value: unknown, depth: number): unknown {
  if (depth >= deepest || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1));
  const plain = Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null;
  return plain ? redactFields(value as Record<string, unknown>, depth + 1) : value;
}

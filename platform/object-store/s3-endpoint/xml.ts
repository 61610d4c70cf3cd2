/** The little XML that S3 speaks: escaped output as tagged trees, and strict reading of the two bodies we take. */
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { S3Error } from "./s3-error.ts";

/** An element's name and what is in it: text, or more elements. Absent content leaves the element out. */
export type XmlNode = readonly [name: string, content: string | number | boolean | readonly XmlNode[] | undefined];

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** A document with the S3 namespace on its root (errors have none). */
export function xmlDocument([name, content]: XmlNode, namespace = true): string {
  const attribute = namespace ? ` xmlns="${NAMESPACE}"` : "";
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name}${attribute}>${inner(content)}</${name}>`;
}

function inner(content: XmlNode[1]): string {
  if (typeof content !== "object") return escapeXml(String(content ?? ""));
  let out = "";
  for (const [name, child] of content) if (child !== undefined) out += `<${name}>${inner(child)}</${name}>`;
  return out;
}

/** Text as XML content; white space that parsers would change is written as references. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\t\r\n]/g, (char) => `&#${char.charCodeAt(0)};`);
}

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  parseTagValue: false,
  trimValues: false,
  htmlEntities: true,
  removeNSPrefix: true,
  isArray: (name) => name === "Object" || name === "Part",
});

/** A parsed element: children by name. */
export type XmlElement = Readonly<Record<string, unknown>>;

/** Parses a request body with the given root; refuses malformed documents and document types. */
export function parseXml(body: string, root: string): XmlElement {
  const malformed = (cause?: unknown) =>
    new S3Error(400, "MalformedXML", `The body is not a well-formed <${root}> document`, { cause });
  // A document type could define entities that grow without bound; S3 has no use for one.
  if (body.includes("<!") || XMLValidator.validate(body) !== true) throw malformed();
  let document: Record<string, unknown>;
  try {
    document = parser.parse(body) as Record<string, unknown>;
  } catch (cause) {
    throw malformed(cause);
  }
  const element = document[root];
  if (typeof element !== "object" || element === null || Array.isArray(element)) throw malformed();
  return element as XmlElement;
}

/** The elements of a repeated child. */
export function childElements(element: XmlElement, name: string): readonly XmlElement[] {
  const children = element[name];
  return Array.isArray(children) ? children.filter((child) => typeof child === "object" && child !== null) : [];
}

/** The text of a child. */
export function childText(element: XmlElement, name: string): string | undefined {
  const text = element[name];
  return typeof text === "string" ? text : undefined;
}

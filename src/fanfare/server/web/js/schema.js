// What a model takes, read from its version's OpenAPI document. No field is known beforehand.

/** Follow `$ref` and a single `allOf`; what stands beside them counts more. */
function resolved(node, schemas) {
  let made = { ...node };
  for (const part of [...(node.allOf ?? []), ...(node.$ref ? [node] : [])]) {
    const name = part.$ref?.split("/").pop();
    const inner = name ? resolved(schemas[name] ?? {}, schemas) : part;
    made = { ...inner, ...made };
  }
  return made;
}

function field(name, node, schemas, required) {
  const is = resolved(node, schemas);
  return {
    name,
    title: label(name),
    description: node.description ?? (is.enum ? "" : is.description ?? ""),
    type: is.type ?? "string",
    format: is.format ?? null,
    choices: is.enum ?? null,
    minimum: is.minimum ?? null,
    maximum: is.maximum ?? null,
    maxLength: is.maxLength ?? null,
    default: is.default,
    isRequired: required,
    order: node["x-order"] ?? Number.MAX_SAFE_INTEGER,
  };
}

/** "continuation_start" → "Continuation start". */
function label(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The inputs of a version in their order. */
export function inputsOf(version) {
  const schemas = version.openapi_schema?.components?.schemas ?? {};
  const { properties = {}, required = [] } = schemas.Input ?? {};
  return Object.entries(properties)
    .map(([name, node]) => field(name, node, schemas, required.includes(name)))
    .sort((a, b) => a.order - b.order);
}

/** What comes back. */
export function outputOf(version) {
  const schemas = version.openapi_schema?.components?.schemas ?? {};
  return resolved(schemas.Output ?? {}, schemas);
}

/** "integer, 1 to 600": type and limits in words. */
export function kindOf(input) {
  const kind = input.choices ? "one of" : input.format === "uri" ? "URL of a recording" : input.type;
  const parts = [kind];
  if (input.choices) parts.push(input.choices.join(", "));
  const { minimum, maximum, maxLength } = input;
  if (minimum !== null && maximum !== null) parts.push(`${minimum} to ${maximum}`);
  else if (minimum !== null) parts.push(`at least ${minimum}`);
  else if (maximum !== null) parts.push(`at most ${maximum}`);
  if (maxLength !== null) parts.push(`at most ${maxLength} characters`);
  return input.choices ? parts.join(" ") : parts.join(", ");
}

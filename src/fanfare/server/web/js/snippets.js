// The request that the form stands for, as people send it.

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function python(value, depth = 1) {
  const pad = "    ".repeat(depth);
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (typeof value !== "object") return JSON.stringify(value);
  const rows = Object.entries(value).map(([name, inner]) => `${pad}    ${JSON.stringify(name)}: ${python(inner, depth + 1)},\n`);
  return rows.length ? `{\n${rows.join("")}${pad}}` : "{}";
}

function curl({ base, model, input, needsToken }) {
  const body = JSON.stringify({ input }, null, 2);
  return [
    `curl -s -X POST ${shellQuoted(`${base}/v1/models/${model.owner}/${model.name}/predictions`)} \\`,
    needsToken ? `  -H "Authorization: Bearer $REPLICATE_API_TOKEN" \\` : null,
    `  -H 'Content-Type: application/json' \\`,
    `  -H 'Prefer: wait' \\`,
    `  -d ${shellQuoted(body)}`,
  ].filter(Boolean).join("\n");
}

function pythonCode(about) {
  const { base, model, input } = about;
  const held = about.needsToken ? 'os.environ["REPLICATE_API_TOKEN"]' : '"none"';
  return `# pip install replicate
${about.needsToken ? "import os\n\n" : ""}from replicate.client import Client

client = Client(api_token=${held}, base_url="${base}")
output = client.run(
    "${model.owner}/${model.name}:${model.version}",
    input=${python(input)},
)
with open("music.${input.output_format ?? "wav"}", "wb") as file:
    file.write(output.read())
`;
}

function node(about) {
  const { base, model, input } = about;
  const body = JSON.stringify(input, null, 2).replaceAll("\n", "\n  ");
  return `// npm install replicate
import { writeFile } from "node:fs/promises";
import Replicate from "replicate";

const replicate = new Replicate({
  auth: ${about.needsToken ? "process.env.REPLICATE_API_TOKEN" : '"none"'},
  baseUrl: "${base}/v1",
});
const output = await replicate.run("${model.owner}/${model.name}:${model.version}", {
  input: ${body},
});
await writeFile("music.${input.output_format ?? "wav"}", output);
`;
}

function cli({ model, input }) {
  const { prompt = "", ...others } = input;
  const flags = Object.entries(others).map(([name, value]) => {
    const flag = name.replaceAll("_", "-");
    // The command line reads files, and fetches nothing.
    if (name === "input_audio") return `--${flag} recording.wav`;
    if (value === true) return `--${flag}`;
    if (value === false) return `--no-${flag}`;
    return `--${flag} ${typeof value === "number" ? value : shellQuoted(String(value))}`;
  });
  const weights = model.weights && !model.weights.includes("epic-mini") ? [`--weights ${shellQuoted(model.weights)}`] : [];
  return ["fanfare generate " + shellQuoted(prompt), ...weights, ...flags].join(" \\\n  ");
}

/** [name, code] for each language. `about`: {base, model, input, needsToken}. */
export function snippets(about) {
  return [
    ["curl", curl(about)],
    ["Python", pythonCode(about)],
    ["Node", node(about)],
    ["CLI", cli(about)],
    ["JSON", JSON.stringify({ input: about.input }, null, 2)],
  ];
}

// The page's next request as a program would send it.
import { apiRoot, type ChatRequest } from "./api";

export const LANGUAGES = ["curl", "Python", "JavaScript"] as const;
export type Language = (typeof LANGUAGES)[number];

const base = apiRoot.replace(/\/$/, "");

function curl(request: ChatRequest, withKey: boolean): string {
  const body = JSON.stringify({ ...request, stream: true }, null, 2).replaceAll("'", "'\\''");
  const key = withKey ? ` \\\n  -H "authorization: Bearer $PELTON_KEY"` : "";
  return `curl -N ${base}/chat/completions \\\n  -H 'content-type: application/json'${key} \\\n  -d '${body}'`;
}

// JSON as Python writes it.
function python(value: unknown, by = ""): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = by + "    ";
  const list = Array.isArray(value);
  const rows = list
    ? value.map((one) => inner + python(one, inner))
    : Object.entries(value).map(([name, one]) => `${inner}${JSON.stringify(name)}: ${python(one, inner)}`);
  if (rows.length === 0) return list ? "[]" : "{}";
  return `${list ? "[" : "{"}\n${rows.join(",\n")},\n${by}${list ? "]" : "}"}`;
}

function pythonSample(request: ChatRequest, withKey: boolean): string {
  const key = withKey ? 'os.environ["PELTON_KEY"]' : '"none"';
  const fields = Object.entries(request).map(([name, value]) => `    ${name}=${python(value, "    ")},\n`);
  return `${withKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(base)}, api_key=${key})
stream = client.chat.completions.create(
${fields.join("")}    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`;
}

function javascript(request: ChatRequest, withKey: boolean): string {
  const key = withKey ? "process.env.PELTON_KEY" : '"none"';
  const body = JSON.stringify({ ...request, stream: true }, null, 2);
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: ${key} });
const stream = await client.chat.completions.create(${body});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}`;
}

export function sample(language: Language, request: ChatRequest, withKey: boolean): string {
  if (language === "curl") return curl(request, withKey);
  return language === "Python" ? pythonSample(request, withKey) : javascript(request, withKey);
}

// What a person sets, and the request that comes of it. Empty fields are not sent: the server's
// defaults hold.
import type { ChatRequest, Message } from "./api";

export interface Settings {
  model: string;
  system: string;
  temperature: string;
  topP: string;
  maxTokens: string;
  seed: string;
  schema: string;
  key: string;
  keepKey: boolean;
}

const KEY = "pelton.key";
const THEME = "pelton.theme";

// Storage may be forbidden; then nothing is kept.
function stored(storage: () => Storage, name: string): string {
  try {
    return storage().getItem(name) ?? "";
  } catch {
    return "";
  }
}

function store(storage: () => Storage, name: string, value: string): void {
  try {
    if (value === "") storage().removeItem(name);
    else storage().setItem(name, value);
  } catch {
    // as said
  }
}

export function initialSettings(): Settings {
  const key = stored(() => sessionStorage, KEY);
  return {
    model: "", system: "", temperature: "", topP: "", maxTokens: "", seed: "", schema: "",
    key, keepKey: key !== "",
  };
}

// The key lives in this page's memory; in the tab's storage only when asked.
export const rememberKey = (settings: Settings) =>
  store(() => sessionStorage, KEY, settings.keepKey ? settings.key : "");

export type Theme = "light" | "dark";
export const savedTheme = () => stored(() => localStorage, THEME) as Theme | "";
export const saveTheme = (theme: Theme) => store(() => localStorage, THEME, theme);

const number = (text: string) => (text.trim() === "" ? undefined : Number(text));

// Undefined when there is none; a sentence when it is not JSON.
export function schemaFault(schema: string): string | undefined {
  if (schema.trim() === "") return undefined;
  try {
    const value: unknown = JSON.parse(schema);
    return typeof value === "object" && value !== null ? undefined : "A schema is a JSON object.";
  } catch (error) {
    return `This is not JSON: ${(error as Error).message}`;
  }
}

export function requestOf(settings: Settings, history: Message[]): ChatRequest {
  const system: Message[] = settings.system.trim() === "" ? [] : [{ role: "system", content: settings.system }];
  const request: ChatRequest = {
    model: settings.model || undefined,
    messages: [...system, ...history],
    temperature: number(settings.temperature),
    top_p: number(settings.topP),
    max_tokens: number(settings.maxTokens),
    seed: number(settings.seed),
  };
  if (settings.schema.trim() !== "" && schemaFault(settings.schema) === undefined) {
    request.response_format = {
      type: "json_schema",
      json_schema: { name: "answer", strict: true, schema: JSON.parse(settings.schema) },
    };
  }
  for (const name of Object.keys(request) as (keyof ChatRequest)[]) {
    if (request[name] === undefined) delete request[name];
  }
  return request;
}

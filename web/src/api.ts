// What the page asks of the server: OpenAI's API, with fetch and nothing else.
import { events } from "./sse";

export interface Model {
  id: string;
  state?: string;
  max_model_len?: number;
  meta?: { architecture?: string; quantization?: string };
}

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatRequest {
  model?: string;
  messages: Message[];
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  seed?: number;
  response_format?: unknown;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
}

export interface Piece {
  text: string;
  note?: string; // what the server says while there is no text yet
  finish?: string;
  usage?: Usage;
}

// An answer that is no success; the message is the server's own sentence where it sent one.
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

// The page lies at the server's root, which a proxy may have put below a path.
export const apiRoot = new URL("v1/", new URL(".", location.href)).href;

function headers(key: string): Record<string, string> {
  return key === "" ? {} : { authorization: `Bearer ${key}` };
}

async function refusal(reply: Response): Promise<ApiError> {
  const text = await reply.text().catch(() => "");
  return new ApiError(sentence(text) ?? `The server answered with status ${reply.status}.`, reply.status);
}

// The message of {"error": {"message": …}}.
function sentence(text: string): string | undefined {
  try {
    const message: unknown = JSON.parse(text)?.error?.message;
    return typeof message === "string" && message !== "" ? message : undefined;
  } catch {
    return undefined;
  }
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let reply: Response;
  try {
    reply = await fetch(apiRoot + path, { ...init, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError("The server does not answer. Is it still running?", 0);
  }
  if (!reply.ok) throw await refusal(reply);
  return reply;
}

export async function listModels(key: string): Promise<Model[]> {
  const reply = await ask("models", { headers: headers(key) });
  const body = (await reply.json()) as { data?: Model[] };
  return body.data ?? [];
}

export async function* chat(request: ChatRequest, key: string, signal: AbortSignal): AsyncGenerator<Piece> {
  const reply = await ask("chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers(key) },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!reply.body) return;
  for await (const event of events(reply.body)) {
    if ("comment" in event) {
      yield { text: "", note: event.comment };
      continue;
    }
    const { data } = event;
    if (data === "[DONE]") return;
    const message = sentence(data);
    if (message !== undefined) throw new ApiError(message, reply.status);
    const chunk = JSON.parse(data);
    const choice = chunk.choices?.[0];
    yield {
      text: choice?.delta?.content ?? "",
      finish: choice?.finish_reason ?? undefined,
      usage: chunk.usage ?? undefined,
    };
  }
  if (!signal.aborted) throw new ApiError("The connection ended before the answer did.", 0);
}

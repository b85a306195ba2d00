// The conversation and its one running answer.
import { useRef, useState } from "preact/hooks";
import { ApiError, chat, type Message, type Usage } from "./api";
import { requestOf, type Settings } from "./settings";

export interface Turn {
  id: number;
  role: "user" | "assistant";
  text: string;
  state: "running" | "done" | "stopped" | "failed";
  note?: string;
  error?: string;
  finish?: string;
  figures?: Figures;
}

export interface Figures {
  tokens: number;
  firstMs: number; // from the request to its first text
  rate?: number; // tokens a second after the first
}

function figures(sent: number, first: number, last: number, pieces: number, usage?: Usage): Figures | undefined {
  if (first === 0) return undefined;
  const tokens = usage?.completion_tokens ?? pieces;
  const rate = tokens > 1 && last > first ? ((tokens - 1) / (last - first)) * 1000 : undefined;
  return { tokens, firstMs: first - sent, rate };
}

// What the model is told of the turns. A question that got no text is left out: templates want the
// roles to take turns.
export function messagesOf(turns: Turn[]): Message[] {
  const told = turns.filter((turn, i) => {
    const answer = turn.role === "user" ? turns[i + 1] : turn;
    return answer === undefined || answer.text !== "" || answer.state === "running";
  });
  return told.filter((turn) => turn.text !== "").map((turn) => ({ role: turn.role, content: turn.text }));
}

export function useConversation(onRefused: (error: ApiError) => void) {
  const [turns, setTurns] = useState<Turn[]>([]);
  const running = useRef<AbortController | null>(null);
  const nextId = useRef(1);

  const patch = (id: number, part: Partial<Turn>) =>
    setTurns((all) => all.map((turn) => (turn.id === id ? { ...turn, ...part } : turn)));

  async function answer(history: Turn[], settings: Settings) {
    const id = nextId.current++;
    const control = new AbortController();
    running.current = control;
    setTurns([...history, { id, role: "assistant", text: "", state: "running" }]);
    const messages = messagesOf(history);
    const sent = performance.now();
    let text = "", first = 0, last = 0, pieces = 0, frame = 0;
    let finish: string | undefined, note: string | undefined, usage: Usage | undefined;
    const show = () => {
      frame = 0;
      patch(id, { text, note, figures: figures(sent, first, last, pieces, usage) });
    };
    let end: Partial<Turn> = { state: "done" };
    try {
      for await (const piece of chat(requestOf(settings, messages), settings.key, control.signal)) {
        if (piece.text !== "") {
          last = performance.now();
          first ||= last;
          pieces++;
          text += piece.text;
        }
        note = piece.note || note;
        finish = piece.finish ?? finish;
        usage = piece.usage ?? usage;
        frame ||= requestAnimationFrame(show); // at most one drawing a frame
      }
    } catch (error) {
      if (!control.signal.aborted) {
        if (error instanceof ApiError) onRefused(error);
        end = { state: "failed", error: error instanceof Error ? error.message : String(error) };
      }
    }
    if (control.signal.aborted) end = { state: "stopped" };
    cancelAnimationFrame(frame);
    if (running.current === control) running.current = null;
    patch(id, { text, finish, figures: figures(sent, first, last, pieces, usage), ...end });
  }

  return {
    turns,
    busy: turns.at(-1)?.state === "running",
    send(text: string, settings: Settings) {
      if (running.current) return;
      void answer([...turns, { id: nextId.current++, role: "user", text, state: "done" }], settings);
    },
    // The last answer once more.
    again(settings: Settings) {
      if (!running.current) void answer(turns.slice(0, -1), settings);
    },
    stop: () => running.current?.abort(),
    clear() {
      running.current?.abort();
      setTurns([]);
    },
  };
}

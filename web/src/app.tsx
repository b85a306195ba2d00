import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, listModels, type Model } from "./api";
import { Composer } from "./composer";
import { messagesOf, useConversation } from "./conversation";
import { CodePanel, SettingsPanel } from "./dialogs";
import icon from "./icon.svg";
import { initialSettings, rememberKey, requestOf, saveTheme, schemaFault, type Settings } from "./settings";
import { TurnView } from "./turn_view";

const SUGGESTIONS = [
  "What is the capital of France?",
  "Explain how a water wheel works.",
  "Write a haiku about rivers.",
];

type Open = "settings" | "code" | null;

function useModels(settings: Settings, set: (part: Partial<Settings>) => void) {
  const [models, setModels] = useState<Model[]>([]);
  const [fault, setFault] = useState<ApiError | null>(null);
  const load = useCallback(() => {
    listModels(settings.key).then(
      (found) => {
        setModels(found);
        setFault(null);
        if (!found.some((model) => model.id === settings.model)) set({ model: found[0]?.id ?? "" });
      },
      (error) => setFault(error instanceof ApiError ? error : new ApiError(String(error), 0)),
    );
  }, [settings.key, settings.model]);
  useEffect(() => {
    const timer = setTimeout(load, settings.key === "" ? 0 : 300); // not for each character of a key
    return () => clearTimeout(timer);
  }, [settings.key]);
  return { models, fault, load };
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  saveTheme(dark ? "light" : "dark");
}

// Keeps the end in sight while it grows, unless the reader has scrolled away from it.
function useFollow(changed: unknown) {
  const pane = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  useLayoutEffect(() => {
    if (follows.current) pane.current!.scrollTop = pane.current!.scrollHeight;
  }, [changed]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = pane.current!;
    follows.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  return { pane, onScroll, follow: () => (follows.current = true) };
}

interface WelcomeProps {
  fault: ApiError | null;
  onPick: (text: string) => void;
  onKey: () => void;
  onRetry: () => void;
  disabled: boolean;
}

function Welcome({ fault, onPick, onKey, onRetry, disabled }: WelcomeProps) {
  const needsKey = fault?.status === 401 || fault?.status === 403;
  return (
    <section class="welcome">
      <h1>What would you like to know?</h1>
      <p>What you write goes to this server and nowhere else.</p>
      {fault && (
        <div class="fault" role="alert">
          <p>{fault.message}</p>
          <button type="button" class="quiet" onClick={needsKey ? onKey : onRetry}>
            {needsKey ? "Enter an API key" : "Try again"}
          </button>
        </div>
      )}
      {!fault && (
        <ul aria-label="Suggestions">
          {SUGGESTIONS.map((text) => (
            <li>
              <button type="button" disabled={disabled} onClick={() => onPick(text)}>
                {text}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function App() {
  const [settings, setSettings] = useState(initialSettings);
  const [open, setOpen] = useState<Open>(null);
  const set = (part: Partial<Settings>) =>
    setSettings((old) => {
      const now = { ...old, ...part };
      rememberKey(now);
      return now;
    });
  const { models, fault, load } = useModels(settings, set);
  const [keyRefused, setKeyRefused] = useState(false);
  const talk = useConversation((error) => setKeyRefused(error.status === 401));
  const { pane, onScroll, follow } = useFollow(talk.turns);
  const model = models.find((one) => one.id === settings.model);
  const badSchema = schemaFault(settings.schema) && "The JSON schema in the settings is not valid JSON.";

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) talk.stop();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);

  const send = (text: string) => {
    follow();
    talk.send(text, settings);
  };
  const last = talk.turns.at(-1);
  const history = messagesOf(talk.turns);
  if (history.at(-1)?.role === "assistant") history.pop(); // the request that led to it
  const shown = history.length > 0 ? history : [{ role: "user" as const, content: SUGGESTIONS[0]! }];
  const close = () => setOpen(null);

  return (
    <>
      <a class="skip" href="#message">
        Skip to the message
      </a>
      <header class="top">
        <span class="name">
          <img src={icon} alt="" width="24" height="24" />
          Pelton
        </span>
        <select
          aria-label="Model"
          value={settings.model}
          disabled={models.length === 0}
          onChange={(event) => set({ model: event.currentTarget.value })}
        >
          {models.length === 0 && <option value="">no model</option>}
          {models.map((one) => (
            <option value={one.id}>{one.id}</option>
          ))}
        </select>
        <nav aria-label="Tools">
          <button type="button" class="quiet" disabled={talk.turns.length === 0} onClick={talk.clear}>
            New
          </button>
          <button type="button" class="quiet" onClick={() => setOpen("code")}>
            Code
          </button>
          <button type="button" class="quiet" onClick={() => setOpen("settings")}>
            Settings
          </button>
          <button type="button" class="quiet theme" aria-label="Dark or light" onClick={toggleTheme}>
            <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
              <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.6" />
              <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
            </svg>
          </button>
        </nav>
      </header>
      <main ref={pane} onScroll={onScroll} tabIndex={-1}>
        {talk.turns.length === 0 ? (
          <Welcome
            fault={fault}
            disabled={models.length === 0}
            onPick={send}
            onKey={() => setOpen("settings")}
            onRetry={load}
          />
        ) : (
          <div class="talk">
            <h1 class="hidden">Conversation</h1>
            {talk.turns.map((turn) => (
              <TurnView
                key={turn.id}
                turn={turn}
                onAgain={turn === last && turn.role === "assistant" ? () => talk.again(settings) : undefined}
              />
            ))}
          </div>
        )}
      </main>
      <p class="hidden" role="status">
        {last?.role === "assistant" && last.state === "done" ? "The answer is complete." : ""}
        {last?.state === "stopped" ? "The answer was stopped." : ""}
      </p>
      <Composer busy={talk.busy} blocked={badSchema || undefined} onSend={send} onStop={talk.stop} />
      {open === "settings" && (
        <SettingsPanel
          settings={settings}
          model={model}
          needsKey={keyRefused || fault?.status === 401}
          onChange={set}
          onClose={close}
        />
      )}
      {open === "code" && (
        <CodePanel request={requestOf(settings, shown)} withKey={settings.key !== ""} onClose={close} />
      )}
    </>
  );
}

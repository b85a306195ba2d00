// The two panels beside the conversation. Modal: the browser keeps the focus inside, Esc closes.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type ChatRequest, type Model } from "./api";
import { CopyButton } from "./code_block";
import { LANGUAGES, type Language, sample } from "./samples";
import { schemaFault, type Settings } from "./settings";

interface PanelProps {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}

function Panel({ title, wide, onClose, children }: PanelProps) {
  const panel = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => panel.current!.showModal(), []);
  return (
    <dialog
      ref={panel}
      class={wide ? "wide" : undefined}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === event.currentTarget && event.currentTarget.close()}
    >
      <div class="panel">
        <header>
          <h2>{title}</h2>
          <button type="button" class="quiet" onClick={() => panel.current!.close()}>
            Close
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

interface SettingsProps {
  settings: Settings;
  needsKey: boolean;
  model?: Model;
  onChange: (part: Partial<Settings>) => void;
  onClose: () => void;
}

export function SettingsPanel({ settings, needsKey, model, onChange, onClose }: SettingsProps) {
  const fault = schemaFault(settings.schema);
  const number = (name: "temperature" | "topP" | "maxTokens" | "seed", label: string, limits: object, placeholder = "default") => (
    <label>
      <span>{label}</span>
      <input
        type="number"
        inputMode="decimal"
        placeholder={placeholder}
        value={settings[name]}
        onInput={(event) => onChange({ [name]: event.currentTarget.value })}
        {...limits}
      />
    </label>
  );
  return (
    <Panel title="Settings" onClose={onClose}>
      <label>
        <span>System prompt</span>
        <textarea
          rows={3}
          placeholder="None"
          value={settings.system}
          onInput={(event) => onChange({ system: event.currentTarget.value })}
        />
      </label>
      <div class="pair">
        {number("temperature", "Temperature", { min: 0, max: 2, step: 0.1 })}
        {number("topP", "Top p", { min: 0, max: 1, step: 0.05 })}
        {number("maxTokens", "Most tokens", { min: 1, max: model?.max_model_len, step: 1 })}
        {number("seed", "Seed", { step: 1 }, "random")}
      </div>
      <details open={needsKey || settings.key !== ""}>
        <summary>API key</summary>
        <label>
          <span>Key of this server</span>
          <input
            type="password"
            name="api-key"
            autocomplete="off"
            spellcheck={false}
            value={settings.key}
            onInput={(event) => onChange({ key: event.currentTarget.value.trim() })}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={settings.keepKey}
            onChange={(event) => onChange({ keepKey: event.currentTarget.checked })}
          />
          <span>Keep it until this tab is closed</span>
        </label>
        <p class="note">It is sent to this server only, and forgotten when the page is left unless kept.</p>
      </details>
      <details open={settings.schema !== ""}>
        <summary>Structured answer</summary>
        <label>
          <span>JSON schema</span>
          <textarea
            class="mono"
            rows={7}
            spellcheck={false}
            placeholder={'{"type": "object", …}'}
            value={settings.schema}
            aria-invalid={fault !== undefined}
            onInput={(event) => onChange({ schema: event.currentTarget.value })}
          />
        </label>
        {fault !== undefined && (
          <p class="fault" role="alert">
            {fault}
          </p>
        )}
      </details>
    </Panel>
  );
}

interface CodeProps {
  request: ChatRequest;
  withKey: boolean;
  onClose: () => void;
}

export function CodePanel({ request, withKey, onClose }: CodeProps) {
  const [language, setLanguage] = useState<Language>("curl");
  const text = sample(language, request, withKey);
  return (
    <Panel title="The same request as code" wide onClose={onClose}>
      <fieldset class="choice">
        <legend class="hidden">Language</legend>
        {LANGUAGES.map((name) => (
          <label>
            <input
              type="radio"
              name="language"
              value={name}
              checked={name === language}
              onChange={() => setLanguage(name)}
            />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <figure class="code">
        <figcaption>
          <span>{language === "curl" ? "shell" : `${language}, package openai`}</span>
          <CopyButton text={text} />
        </figcaption>
        <pre tabIndex={0}>
          <code>{text}</code>
        </pre>
      </figure>
      {withKey && <p class="note">Your key is not shown: put it into the variable PELTON_KEY.</p>}
    </Panel>
  );
}

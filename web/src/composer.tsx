import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

interface Props {
  busy: boolean;
  blocked?: string; // why nothing can be sent
  onSend: (text: string) => void;
  onStop: () => void;
}

export function Composer({ busy, blocked, onSend, onStop }: Props) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus(); // no keyboard pops up unasked
  }, []);
  useLayoutEffect(() => {
    const area = field.current!;
    area.style.height = "auto"; // set from script, which the page's policy lets pass
    area.style.height = `${area.scrollHeight}px`;
  }, [text]);

  const send = () => {
    if (busy || text.trim() === "" || blocked !== undefined) return;
    onSend(text.trim());
    setText("");
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {blocked !== undefined && <p class="fault">{blocked}</p>}
      <div class="box">
        <textarea
          id="message"
          ref={field}
          rows={1}
          value={text}
          placeholder="Ask something"
          aria-label="Message"
          aria-describedby="keys"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {busy ? (
          <button type="button" class="send" onClick={onStop}>
            Stop
          </button>
        ) : (
          <button type="submit" class="send" disabled={text.trim() === "" || blocked !== undefined}>
            Send
          </button>
        )}
      </div>
      <p id="keys">
        <kbd>Enter</kbd> sends, <kbd>Shift Enter</kbd> makes a line, <kbd>Esc</kbd> stops
      </p>
    </form>
  );
}

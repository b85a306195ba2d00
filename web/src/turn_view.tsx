import { memo } from "./memo";
import { CopyButton } from "./code_block";
import type { Figures, Turn } from "./conversation";
import { Markdown } from "./markdown";

function figuresText({ tokens, firstMs, rate }: Figures): string {
  const first = firstMs < 1000 ? `${Math.round(firstMs)} ms` : `${(firstMs / 1000).toFixed(1)} s`;
  const parts = [`${tokens} ${tokens === 1 ? "token" : "tokens"}`];
  if (rate !== undefined) parts.push(`${rate.toFixed(rate < 100 ? 1 : 0)} tokens/s`);
  return [...parts, `first token after ${first}`].join(" · ");
}

const ENDS: Record<string, string> = {
  length: "cut at the token limit",
  content_filter: "ended by a filter",
};

function Answer({ turn, onAgain }: { turn: Turn; onAgain?: () => void }) {
  const note = turn.state === "stopped" ? "stopped" : ENDS[turn.finish ?? ""];
  const over = turn.state !== "running";
  return (
    <article class="answer" aria-busy={!over} aria-label="Answer">
      {turn.text !== "" && <Markdown text={turn.text} />}
      {turn.state === "running" && turn.text === "" && (
        <p class="waiting">
          <span class="dot" />
          {turn.note ? <span>{turn.note}</span> : <span class="hidden">Waiting for the first token</span>}
        </p>
      )}
      {turn.error !== undefined && (
        <p class="fault" role="alert">
          {turn.error}
        </p>
      )}
      {(turn.figures || over) && (
        <footer>
          {turn.figures && <span class="figures">{figuresText(turn.figures)}</span>}
          {note && <span class="figures">{note}</span>}
          {over && (
            <span class="tools">
              {turn.text !== "" && <CopyButton text={turn.text} />}
              {onAgain && (
                <button type="button" class="quiet" onClick={onAgain}>
                  {turn.state === "failed" ? "Try again" : "Again"}
                </button>
              )}
            </span>
          )}
        </footer>
      )}
    </article>
  );
}

export const TurnView = memo(
  ({ turn, onAgain }: { turn: Turn; onAgain?: () => void }) =>
    turn.role === "user" ? (
      <article class="question" aria-label="You">
        {turn.text}
      </article>
    ) : (
      <Answer turn={turn} onAgain={onAgain} />
    ),
  (a, b) => a.turn === b.turn && !a.onAgain && !b.onAgain,
);

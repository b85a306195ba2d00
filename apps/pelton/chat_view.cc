#include "chat_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>

#include "base/random.h"

namespace pelton::app {
namespace {

volatile std::sig_atomic_t interrupts = 0;

// ^C counts while this lives; before and after, it does what it did.
class CatchInterrupts {
 public:
  CatchInterrupts() {
    interrupts = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupts = interrupts + 1; };
    sigaction(SIGINT, &action, &before_);
  }
  ~CatchInterrupts() { sigaction(SIGINT, &before_, nullptr); }
  CatchInterrupts(const CatchInterrupts&) = delete;
  CatchInterrupts& operator=(const CatchInterrupts&) = delete;

 private:
  struct sigaction before_ {};
};

// Deltas from the backend's thread to the terminal's. Thread-safe.
class Mailbox final : public backend::DeltaSink {
 public:
  backend::Flow OnDelta(backend::Delta&& delta) override {
    {
      const std::lock_guard lock(mutex_);
      text_ += delta.text;
      usage_ = delta.usage;
      if (delta.finish) {
        finish_ = delta.finish;
        error_ = delta.error;
      }
    }
    news_.notify_one();
    return backend::Flow::kContinue;
  }

  // New text since the last call, waiting a little for it; `done` after the last piece.
  std::string Take(bool* done) {
    std::unique_lock lock(mutex_);
    // A short wait, so that ^C is seen soon: signal handlers cannot notify.
    news_.wait_for(lock, std::chrono::milliseconds(50),
                   [&] { return !text_.empty() || finish_.has_value(); });
    *done = finish_.has_value();
    return std::exchange(text_, {});
  }

  backend::Usage usage() const {
    const std::lock_guard lock(mutex_);
    return usage_;
  }
  Status error() const {
    const std::lock_guard lock(mutex_);
    return finish_ == backend::FinishReason::kError ? error_ : OkStatus();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable news_;
  std::string text_;                                // guarded by mutex_, as all below
  backend::Usage usage_;
  std::optional<backend::FinishReason> finish_;
  Status error_;
};

backend::SequenceRequest RequestFor(const backend::Facts& facts, const AnswerOptions& options,
                                    std::vector<backend::TokenId> prompt) {
  backend::SequenceRequest request;
  request.tenant = "terminal";
  request.max_tokens = std::min(options.max_tokens, facts.context - static_cast<int>(prompt.size()));
  request.prompt = std::move(prompt);
  const backend::SamplingDefaults& own = facts.sampling;
  request.temperature =
      options.temperature >= 0 ? options.temperature : own.temperature.value_or(0.7f);
  request.top_p = own.top_p.value_or(0.95f);
  request.top_k = own.top_k.value_or(40);
  request.min_p = own.min_p.value_or(0.f);
  request.repetition_penalty = own.repetition_penalty.value_or(1.f);
  request.seed = options.seed != 0 ? options.seed : SecureRandom64();
  return request;
}

}  // namespace

Result<Answer> StreamAnswer(backend::Backend& model, const std::vector<backend::Message>& messages,
                            const AnswerOptions& options) {
  backend::ChatPrompt asked;
  asked.messages = messages;
  auto prompt = model.ChatTokens(asked);
  if (!prompt.ok()) return prompt.status();
  if (static_cast<int>(prompt->size()) >= model.facts().context) {
    return InvalidArgument(fmt::format("the conversation has {} tokens and the context {}; /clear "
                                       "starts a new one", prompt->size(), model.facts().context));
  }
  const CatchInterrupts catching;
  const auto mailbox = std::make_shared<Mailbox>();
  const backend::RequestId id = model.NextRequestId();
  RETURN_IF_ERROR(
      model.Submit(id, RequestFor(model.facts(), options, std::move(prompt).value()), mailbox));
  Answer answer;
  for (bool done = false; !done;) {
    const std::string text = mailbox->Take(&done);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    answer.text += text;
    if (interrupts > 0 && !answer.interrupted) {
      answer.interrupted = true;
      model.Cancel(id);
    }
  }
  RETURN_IF_ERROR(mailbox->error());
  answer.usage = mailbox->usage();
  return answer;
}

}  // namespace pelton::app

/* C ABI of libpelton_rust.a: the byte-level BPE of `tokenizers` and the templates of `minijinja`.
 *
 * Every call returns one of the PELTON_RUST_* codes; anything but OK leaves one line of UTF-8 in
 * *error. A Rust panic never crosses: it comes back as PELTON_RUST_INTERNAL. Buffers that a call
 * fills are owned by the caller and go back with the matching *_free (safe on a zeroed buffer).
 * Objects are immutable after construction and may be used from any number of threads. */
#ifndef PELTON_RUST_H_
#define PELTON_RUST_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  PELTON_RUST_OK = 0,
  PELTON_RUST_INVALID = 1,  /* the caller's data: bad UTF-8, unknown name, a template that raises */
  PELTON_RUST_LIMIT = 2,    /* a step, output or depth limit was reached */
  PELTON_RUST_INTERNAL = 3  /* a panic or a broken invariant: a bug of ours */
};

typedef struct {
  const uint8_t* data; /* may be null when size is 0 */
  size_t size;
} pelton_rust_str;

typedef struct {
  uint8_t* data;
  size_t size;
  size_t capacity;
} pelton_rust_bytes;

typedef struct {
  uint32_t* data;
  size_t size;
  size_t capacity;
} pelton_rust_ids;

void pelton_rust_bytes_free(pelton_rust_bytes* bytes);
void pelton_rust_ids_free(pelton_rust_ids* ids);

/* ---- byte-level BPE ---- */
typedef struct pelton_rust_bpe pelton_rust_bpe;

typedef struct {
  pelton_rust_str text; /* in the byte-to-letter spelling of GPT-2 */
  uint32_t id;
} pelton_rust_piece;

/* `pre` names the pre-tokenizer (tokenizer.ggml.pre). Merges are "left right", best first; one that
 * names a piece which is not in `pieces` is INVALID. */
int32_t pelton_rust_bpe_new(const pelton_rust_piece* pieces, size_t piece_count,
                            const pelton_rust_str* merges, size_t merge_count,
                            pelton_rust_str pre, pelton_rust_bpe** out, pelton_rust_bytes* error);
void pelton_rust_bpe_free(pelton_rust_bpe* bpe);

/* Appends the ids of `text` (UTF-8) to *out. */
int32_t pelton_rust_bpe_encode(const pelton_rust_bpe* bpe, pelton_rust_str text,
                               pelton_rust_ids* out, pelton_rust_bytes* error);

/* ---- chat templates ---- */
typedef struct pelton_rust_template pelton_rust_template;

/* `secrets`: texts of control tokens, at least two characters each, that only the template itself
 * may write (see pelton_rust_template_render). */
int32_t pelton_rust_template_new(pelton_rust_str source, const pelton_rust_str* secrets,
                                 size_t secret_count, pelton_rust_template** out,
                                 pelton_rust_bytes* error);
void pelton_rust_template_free(pelton_rust_template* tmpl);

typedef struct {
  pelton_rust_str role;
  pelton_rust_str content;
  pelton_rust_str name;            /* the rest may be empty */
  pelton_rust_str tool_call_id;
  pelton_rust_str tool_calls_json; /* JSON array */
} pelton_rust_message;

typedef struct {
  const pelton_rust_message* messages;
  size_t message_count;
  pelton_rust_str tools_json;  /* JSON array or empty */
  pelton_rust_str kwargs_json; /* JSON object or empty; names the template needs itself are refused */
  pelton_rust_str bos;         /* texts of the model's tokens, empty when there is none */
  pelton_rust_str eos;
  bool add_generation_prompt;
  bool continue_final_message; /* cut right after the last message's content */
  uint64_t steps_max;          /* virtual machine instructions */
  size_t output_bytes_max;
  int64_t now_seconds;         /* what strftime_now shows, Unix time */
} pelton_rust_request;

/* Renders into *out. Every string of messages, tools and kwargs is a user's: the noncharacter
 * *marker stands inside each secret's text found there (and at an end that could complete one), so a
 * secret in the output was written by the template. Remove the marker from what remains. */
int32_t pelton_rust_template_render(const pelton_rust_template* tmpl,
                                    const pelton_rust_request* request, pelton_rust_bytes* out,
                                    uint32_t* marker, pelton_rust_bytes* error);

#ifdef __cplusplus
}
#endif
#endif /* PELTON_RUST_H_ */

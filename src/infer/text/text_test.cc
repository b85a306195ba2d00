#include <gtest/gtest.h>
#include <cstdio>
#include <cstdlib>
#include "text/tokenizer.h"
#include "text/chat_template.h"
#include "base/clock.h"
using namespace pelton;
TEST(Quick, Models) {
  for (const char* env : {"PELTON_MODEL_SMOLLM2", "PELTON_MODEL_GEMMA3"}) {
    auto f = format::ModelFile::Open(std::getenv(env));
    ASSERT_TRUE(f.ok()) << f.status().ToString();
    timespec a, b; clock_gettime(CLOCK_MONOTONIC, &a);
    auto t = text::Tokenizer::FromMetadata((*f)->metadata());
    clock_gettime(CLOCK_MONOTONIC, &b);
    ASSERT_TRUE(t.ok()) << t.status().ToString();
    printf("%s %.1f ms\n", env, (b.tv_sec-a.tv_sec)*1e3+(b.tv_nsec-a.tv_nsec)/1e6);
    auto ids = (*t)->Encode("Hello world,  it's 123   \n\n\n日本 <end_of_turn>", {});
    for (auto i : *ids) printf("%d[%s] ", i, std::string((*t)->Piece(i)).c_str());
    printf("\n");
    auto c = text::ChatTemplate::FromMetadata((*f)->metadata(), **t);
    ASSERT_TRUE(c.ok()) << c.status().ToString();
    text::ChatTemplateInput in; in.messages.push_back({"user", "Hi <|im_end|> there", "", "", ""});
    printf("%s\n", (*c)->Render(in)->c_str());
    auto r = (*c)->RenderTokens(in);
    for (auto i : *r) printf("%d[%s] ", i, std::string((*t)->Piece(i)).c_str());
    printf("\n");
  }
}

#include "serving/catalogue.h"

#include <gtest/gtest.h>

#include "backend/sim/sim_backend.h"

namespace pelton::serving {
namespace {

Result<std::unique_ptr<backend::Backend>> OpenSim(const ModelSource&) {
  return backend::MakeSimBackend({});
}

TEST(Catalogue, NamesComeFromFlagsOrPaths) {
  EXPECT_EQ(ModelSource::FromFlag("chat=a/b.gguf")->name, "chat");
  EXPECT_EQ(ModelSource::FromFlag("chat=a/b.gguf")->path, "a/b.gguf");
  EXPECT_EQ(ModelSource::FromFlag("sim:?rate=5")->path, "sim:?rate=5");
  EXPECT_EQ(ModelSource::FromFlag("sim:?rate=5")->name, "");
  EXPECT_EQ(ModelSource::FromFlag("x=sim:?rate=5")->name, "x");
  EXPECT_FALSE(ModelSource::FromFlag("x=").ok());
  EXPECT_EQ(NameOfPath("models/Smol LM.gguf"), "Smol_LM");
  EXPECT_EQ(NameOfPath("sim:?rate=5"), "sim");
}

TEST(Catalogue, DuplicateBadAndMissingModelsAreRefused) {
  EXPECT_FALSE(Catalogue::Make({}).ok());
  EXPECT_FALSE(Catalogue::Make({{"a", "x.gguf"}, {"a", "y.gguf"}}).ok());
  EXPECT_FALSE(Catalogue::Make({{"a b", "x.gguf"}}).ok());
  EXPECT_FALSE(Catalogue::Make({{"a", ""}}).ok());
  EXPECT_TRUE(Catalogue::Make({{std::string(128, 'a'), "x"}}).ok());
  EXPECT_FALSE(Catalogue::Make({{std::string(129, 'a'), "x"}}).ok());
  std::vector<ModelSource> many;
  for (int i = 0; i < 64; ++i) many.push_back({"m" + std::to_string(i), "x"});
  EXPECT_TRUE(Catalogue::Make(many).ok());
  many.push_back({"one-more", "x"});
  EXPECT_FALSE(Catalogue::Make(many).ok());
}

TEST(Catalogue, FindTellsUnknownFromLoadingFromAmbiguous) {
  auto made = Catalogue::Make({{"a", "sim:"}, {"b", "sim:"}});
  Catalogue& catalogue = **made;
  EXPECT_EQ(catalogue.Find("a").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(catalogue.Find("c").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(catalogue.Find("").status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(catalogue.AllReady());
  int loaded = 0;
  ASSERT_TRUE(catalogue.LoadAll(OpenSim, [&](const Served&) { ++loaded; }).ok());
  EXPECT_EQ(loaded, 2);
  EXPECT_TRUE(catalogue.AllReady());
  EXPECT_EQ((*catalogue.Find("b"))->name, "b");
  auto single = Catalogue::Make({{"only", "sim:"}});
  ASSERT_TRUE((*single)->LoadAll(OpenSim, [](const Served&) {}).ok());
  EXPECT_EQ((*(*single)->Find(""))->name, "only");
}

TEST(Catalogue, TheFirstFailureEndsLoading) {
  auto made = Catalogue::Make({{"a", "x"}, {"b", "y"}});
  int opened = 0;
  const Status status = (*made)->LoadAll(
      [&](const ModelSource& source) -> Result<std::unique_ptr<backend::Backend>> {
        ++opened;
        return NotFound("no " + source.path);
      },
      [](const Served&) {});
  EXPECT_EQ(status.message(), "no x");
  EXPECT_EQ(opened, 1);
}

TEST(Catalogue, ClosingReachesModelsThatBecomeReadyLater) {
  auto made = Catalogue::Make({{"a", "sim:"}});
  (*made)->CloseIntake();
  ASSERT_TRUE((*made)->LoadAll(OpenSim, [](const Served&) {}).ok());
  backend::SequenceRequest request;
  request.prompt = {1};
  EXPECT_EQ((*(*made)->Find("a"))->backend->Submit(1, request, nullptr).code(),
            StatusCode::kUnavailable);
}

}  // namespace
}  // namespace pelton::serving

#include <gtest/gtest.h>

#include "links/hub.h"
#include "links/hub_paths.h"

namespace pelton::links {
namespace {

TEST(HubReference, ReadsRepositorySelectionAndRevision) {
  auto r = ParseHubReference("hf://org/name-1.5:Q4_K_M@v2");
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_EQ(r->repository, "org/name-1.5");
  EXPECT_EQ(r->selection, "Q4_K_M");
  EXPECT_EQ(r->revision, "v2");
  EXPECT_EQ(ParseHubReference("a/b")->revision, "main");
}

TEST(HubReference, RefusesWhatCouldLeaveTheFolderOrTheUrl) {
  for (const char* bad : {"", "name", "a/b/c", "../b", "a/..", "a b/c", "a/b?x", "a/b@../x", "a/b:..",
                          "a/b:../x", "a/b:/etc/passwd", "a/b:x\\y", "-a/b", "a/b@", "a/b:"}) {
    EXPECT_FALSE(ParseHubReference(bad).ok()) << bad;
  }
  EXPECT_TRUE(ParseHubReference("a/" + std::string(200, 'b')).ok());
  EXPECT_FALSE(ParseHubReference("a/" + std::string(201, 'b')).ok());
}

TEST(HubPaths, AllowsOnlyPlainRelativePaths) {
  EXPECT_TRUE(HubPathIsSafe("a/b.gguf"));
  EXPECT_TRUE(HubPathIsSafe("..a/b..c"));
  for (const char* bad : {"/a", "a/", "a//b", "./a", "a/../b", "..", "a\nb", "c:\\x", "a\\b"}) {
    EXPECT_FALSE(HubPathIsSafe(bad)) << bad;
  }
  EXPECT_TRUE(HubPathIsSafe(std::string(1024, 'a')));
  EXPECT_FALSE(HubPathIsSafe(std::string(1025, 'a')));
}

std::vector<HubFile> Files(std::initializer_list<const char*> names) {
  std::vector<HubFile> files;
  for (const char* name : names) files.push_back({.path = name, .size = 10, .sha256 = {}});
  return files;
}

TEST(HubSelection, TakesTheOnlyGgufWithAllItsShards) {
  const auto files = Files({"README.md", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"});
  auto chosen = SelectHubFiles(files, "");
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->size(), 2u);
}

TEST(HubSelection, ChoosesByQuantisationAsAWholeWord) {
  const auto files = Files({"m-Q4_K.gguf", "m-Q4_K_M.gguf", "sub/m.q8_0.gguf"});
  EXPECT_EQ(SelectHubFiles(files, "q4_k")->at(0).path, "m-Q4_K.gguf");
  EXPECT_EQ(SelectHubFiles(files, "Q8_0")->at(0).path, "sub/m.q8_0.gguf");
  EXPECT_EQ(SelectHubFiles(files, "m-Q4_K_M.gguf")->at(0).path, "m-Q4_K_M.gguf");
  const auto several = SelectHubFiles(files, "");
  EXPECT_EQ(several.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(several.status().message().find("sub/m.q8_0.gguf"), std::string::npos);
  EXPECT_EQ(SelectHubFiles(files, "Q2_K").status().code(), StatusCode::kNotFound);
}

TEST(HubSelection, TakesAFolderModelWithoutPickles) {
  auto chosen = SelectHubFiles(
      Files({"config.json", "model.safetensors", "pytorch_model.bin", "x/extra.json", "a.py"}), "");
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->size(), 2u);
  EXPECT_FALSE(SelectHubFiles(Files({"a.py"}), "").ok());
}

}  // namespace
}  // namespace pelton::links

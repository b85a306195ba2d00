// Which files an operator's path may reach.
#include "serving/model_source.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace pelton::serving {
namespace {

class FileBelowTest : public ::testing::Test {
 protected:
  FileBelowTest() {
    namespace fs = std::filesystem;
    root_ = fs::path(testing::TempDir()) / "pelton_file_below";
    fs::remove_all(root_);
    fs::create_directories(root_ / "open/sub");
    fs::create_directories(root_ / "open-not");
    for (const char* name : {"open/a.gguf", "open/sub/b.gguf", "secret.gguf", "open/notes.txt",
                             "open-not/c.gguf"}) {
      std::ofstream(root_ / name) << "x";
    }
    fs::create_directories(root_ / "open/folder.gguf");
    fs::create_symlink(root_ / "secret.gguf", root_ / "open/link.gguf");
    fs::create_symlink("a.gguf", root_ / "open/inside.gguf");
    fs::create_symlink(root_, root_ / "open/up");
  }
  ~FileBelowTest() override { std::filesystem::remove_all(root_); }
  Result<std::string> Below(const std::string& path) {
    const std::vector<std::string> folders = {(root_ / "missing").string(),
                                              (root_ / "open").string()};
    return FileBelow(folders, path);
  }
  std::filesystem::path root_;
};

TEST_F(FileBelowTest, FilesInsideAreFound) {
  const std::string a = std::filesystem::canonical(root_ / "open/a.gguf");
  EXPECT_EQ(*Below("a.gguf"), a);
  EXPECT_EQ(*Below("sub/b.gguf"), std::filesystem::canonical(root_ / "open/sub/b.gguf"));
  EXPECT_EQ(*Below("sub/../a.gguf"), a);
  EXPECT_EQ(*Below((root_ / "open/a.gguf").string()), a);
  EXPECT_EQ(*Below("inside.gguf"), a);  // a link that stays inside
}

// CVE-2024-37032 and its kind: path traversal in every dress. The answer is the same whether the file exists or not.
TEST_F(FileBelowTest, NothingOutsideIsReachedOrTold) {
  const std::string same = Below("nothing.gguf").status().message();
  for (const std::string& path :
       {std::string("../secret.gguf"), std::string("sub/../../secret.gguf"),
        std::string("link.gguf"), std::string("up/secret.gguf"), std::string("/etc/passwd"),
        std::string("../open-not/c.gguf"), (root_ / "open-not/c.gguf").string(),
        (root_ / "secret.gguf").string(), std::string("notes.txt"), std::string("folder.gguf"),
        std::string("."), std::string("/"), std::string("sim:?rate=1"), std::string("..%2fsecret.gguf"),
        std::string("....//secret.gguf"), std::string("a.gguf/"), std::string("~/a.gguf")}) {
    const auto found = Below(path);
    ASSERT_FALSE(found.ok()) << path;
    EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied) << path;
    EXPECT_EQ(found.status().message(), same) << path;
  }
  EXPECT_FALSE(Below(std::string("a.gguf\0.txt", 11)).ok());
  EXPECT_FALSE(Below("").ok());
  EXPECT_FALSE(Below(std::string(kModelPathBytesMax + 1, 'a')).ok());
  EXPECT_EQ(FileBelow({}, "a.gguf").status().code(), StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace pelton::serving

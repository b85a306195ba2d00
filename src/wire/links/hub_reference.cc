// References, paths and choices: the pure half of the hub client.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "links/hub.h"
#include "links/hub_paths.h"

namespace pelton::links {
namespace {

constexpr size_t kReferenceBytesMax = 512;

bool WordIsPlain(std::string_view word) {
  if (word.empty() || word.size() > 200 || word == "." || word == ".." || word[0] == '-') {
    return false;
  }
  return std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool EndsWith(const HubFile& file, std::string_view ending) {
  return Lower(file.path).ends_with(ending);
}

// "model-Q4_K_M-00001-of-00003.gguf" and its siblings share "model-Q4_K_M"; others their stem.
std::string ShardStem(const std::string& path) {
  constexpr std::string_view kShape = "-00001-of-00001.gguf";
  if (path.size() <= kShape.size()) return path;
  const std::string_view tail = std::string_view(path).substr(path.size() - kShape.size());
  for (size_t i = 0; i < kShape.size(); ++i) {
    const bool digit = std::isdigit(static_cast<unsigned char>(kShape[i])) != 0;
    if (digit ? std::isdigit(static_cast<unsigned char>(tail[i])) == 0 : tail[i] != kShape[i]) {
      return path;
    }
  }
  return path.substr(0, path.size() - kShape.size());
}

// The quantisation must stand as a word of its own: "Q4_K" is not part of "Q4_K_M".
bool NamesQuantisation(const std::string& path, const std::string& selection) {
  const std::string name = Lower(path);
  const std::string wanted = Lower(selection);
  for (size_t at = name.find(wanted); at != std::string::npos; at = name.find(wanted, at + 1)) {
    const char before = at == 0 ? '-' : name[at - 1];
    const size_t end = at + wanted.size();
    const char after = end < name.size() ? name[end] : '.';
    if (std::string_view("-./").find(before) != std::string_view::npos &&
        std::string_view("-./").find(after) != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

std::string Choices(const std::vector<HubFile>& ggufs) {
  std::string out;
  size_t shown = 0;
  for (const HubFile& file : ggufs) {
    if (++shown > 30) return out + "\n  …";
    out += fmt::format("\n  {}  ({:.2f} GB)", file.path, static_cast<double>(file.size) / 1e9);
  }
  return out;
}

std::vector<HubFile> FilesOfFolderModel(const std::vector<HubFile>& files) {
  std::vector<HubFile> chosen;
  for (const HubFile& file : files) {
    const bool top = file.path.find('/') == std::string::npos;
    if (top && (EndsWith(file, ".safetensors") || EndsWith(file, ".json") ||
                EndsWith(file, ".jinja") || EndsWith(file, ".model"))) {
      chosen.push_back(file);
    }
  }
  return chosen;
}

}  // namespace

bool HubPathIsSafe(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path.front() == '/' || path.back() == '/') return false;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\' || c == ':') return false;
  }
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return true;
}

Result<HubReference> ParseHubReference(std::string_view text) {
  const std::string_view whole = text;
  const auto wrong = [&](std::string_view why) {
    return InvalidArgument(fmt::format("'{}' {}; write org/name, org/name:Q4_K_M or "
                                       "org/name:file.gguf", whole.substr(0, 200), why));
  };
  if (text.size() > kReferenceBytesMax) return wrong("is too long");
  if (text.starts_with("hf://")) text.remove_prefix(5);
  HubReference reference;
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    reference.revision = std::string(text.substr(at + 1));
    text = text.substr(0, at);
    if (!WordIsPlain(reference.revision)) return wrong("has a revision that cannot be");
  }
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    reference.selection = std::string(text.substr(colon + 1));
    text = text.substr(0, colon);
    if (!HubPathIsSafe(reference.selection)) return wrong("has a file name that cannot be");
  }
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || !WordIsPlain(text.substr(0, slash)) ||
      !WordIsPlain(text.substr(slash + 1))) {
    return wrong("is no repository");
  }
  reference.repository = std::string(text);
  return reference;
}

Result<std::vector<HubFile>> SelectHubFiles(const std::vector<HubFile>& files,
                                            std::string_view selection) {
  std::vector<HubFile> ggufs;
  std::copy_if(files.begin(), files.end(), std::back_inserter(ggufs),
               [](const HubFile& f) { return EndsWith(f, ".gguf"); });
  const std::string wanted(selection);
  std::vector<std::string> stems;
  for (const HubFile& file : ggufs) {
    const bool named = wanted.empty() || file.path == wanted || NamesQuantisation(file.path, wanted);
    const std::string stem = ShardStem(file.path);
    if (named && std::find(stems.begin(), stems.end(), stem) == stems.end()) stems.push_back(stem);
  }
  if (stems.size() == 1) {
    std::erase_if(ggufs, [&](const HubFile& f) { return ShardStem(f.path) != stems[0]; });
    return ggufs;
  }
  if (ggufs.empty() && wanted.empty()) {
    std::vector<HubFile> folder = FilesOfFolderModel(files);
    if (!folder.empty()) return folder;
    return NotFound("the repository has neither GGUF nor safetensors files");
  }
  if (stems.empty()) {
    return NotFound(fmt::format("no file fits '{}'; there is:{}", wanted, Choices(ggufs)));
  }
  return FailedPrecondition(fmt::format(
      "{} files fit; choose one by org/name:QUANTISATION or org/name:FILE:{}", stems.size(),
      Choices(ggufs)));
}

}  // namespace pelton::links

# Files as bytes of a library, so that the program needs nothing beside it.
#
#   pelton_embed_files(TARGET pelton_server NAME PlaygroundFiles
#     FOLDER ${CMAKE_SOURCE_DIR}/web/dist)
#
# defines, in namespace pelton::server, `std::span<const EmbeddedFile> PlaygroundFiles()` of
# server/embedded_file.h: every file below FOLDER with its path in it, sorted by path. Written when
# CMake configures, again when one of the files changes.
function(pelton_embed_files)
  cmake_parse_arguments(E "" "TARGET;NAME;FOLDER" "" ${ARGN})
  if(E_UNPARSED_ARGUMENTS OR NOT E_TARGET OR NOT E_NAME OR NOT E_FOLDER)
    message(FATAL_ERROR "pelton_embed_files(${E_NAME}): bad arguments ${E_UNPARSED_ARGUMENTS}")
  endif()
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE "${E_FOLDER}" "${E_FOLDER}/*")
  list(SORT files)
  if(NOT files)
    message(FATAL_ERROR "pelton_embed_files(${E_NAME}): ${E_FOLDER} has no files")
  endif()
  set(arrays "")
  set(rows "")
  set(number 0)
  foreach(file IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${E_FOLDER}/${file}")
    file(READ "${E_FOLDER}/${file}" bytes HEX)
    file(SHA256 "${E_FOLDER}/${file}" digest)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
    string(APPEND arrays "constexpr unsigned char kFile${number}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"${file}\", Bytes(kFile${number}), \"${digest}\"},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  set(out "${CMAKE_CURRENT_BINARY_DIR}/embedded_${E_NAME}.cc")
  file(CONFIGURE OUTPUT "${out}" @ONLY CONTENT [[
// Written by cmake/EmbedFiles.cmake.
#include "server/embedded_file.h"

namespace pelton::server {
namespace {

template <size_t N>
std::string_view Bytes(const unsigned char (&bytes)[N]) {  // the last is a 0 of ours
  return {reinterpret_cast<const char*>(bytes), N - 1};
}

@arrays@
const EmbeddedFile kFiles[] = {
@rows@};

}  // namespace

std::span<const EmbeddedFile> @E_NAME@() { return kFiles; }

}  // namespace pelton::server
]])
  target_sources(${E_TARGET} PRIVATE "${out}")
endfunction()

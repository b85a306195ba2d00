# A libFuzzer target, built only by the preset `fuzz` (clang).
#
#   pelton_fuzz(NAME json            program fuzz_json, ctest entry fuzz/json
#     SRCS json_fuzz.cc              defines LLVMFuzzerTestOneInput
#     ROOMS codec                    rooms it links
#     LIBS …                         outside libraries
#     DICT json.dict                 optional dictionary, beside the source
#     MAX_LEN 4096)                  optional longest input, bytes
#
# Seeds: fuzz/corpus/<name>/. ctest runs each target for FUZZ_SECONDS (environment; 10).
function(pelton_fuzz)
  cmake_parse_arguments(F "" "NAME;DICT;MAX_LEN" "SRCS;ROOMS;LIBS" ${ARGN})
  if(F_UNPARSED_ARGUMENTS OR NOT F_NAME OR NOT F_SRCS)
    message(FATAL_ERROR "pelton_fuzz(${F_NAME}): bad arguments ${F_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT PELTON_FUZZ)
    return()
  endif()
  set(program fuzz_${F_NAME})
  add_executable(${program} ${F_SRCS})
  target_compile_options(${program} PRIVATE ${PELTON_WARNINGS} -Wno-conversion -Wno-sign-conversion)
  target_link_options(${program} PRIVATE -fsanitize=fuzzer)
  foreach(room IN LISTS F_ROOMS)
    target_link_libraries(${program} PRIVATE pelton_${room})
  endforeach()
  target_link_libraries(${program} PRIVATE ${F_LIBS})
  set(options "")
  if(F_DICT)
    list(APPEND options "-dict=${CMAKE_CURRENT_SOURCE_DIR}/${F_DICT}")
  endif()
  if(F_MAX_LEN)
    list(APPEND options "-max_len=${F_MAX_LEN}")
  endif()
  add_test(NAME fuzz/${F_NAME}
    COMMAND "${CMAKE_SOURCE_DIR}/tools/test/fuzz.sh" $<TARGET_FILE:${program}> ${F_NAME} ${options})
  set_tests_properties(fuzz/${F_NAME} PROPERTIES LABELS fuzz TIMEOUT 7200 FIXTURES_REQUIRED built_fuzz)
  set_property(GLOBAL APPEND PROPERTY PELTON_FUZZERS ${program})
endfunction()

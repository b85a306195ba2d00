# Tests that are scripts, run against the finished binary. Registered only in the tree whose unit
# tests are called unit/… (release): sanitizer trees hold unit tests alone.
#
#   pelton_python_test(NAME openai_client LABEL clients FILE test_openai.py
#     [NEEDS smollm2 gemma3 …] [ARGS …] [TIMEOUT seconds])
#   pelton_node_test(NAME openai_node LABEL clients FILE openai.test.mjs …)
#
# FILE test_*.py runs under pytest, any other .py by itself, .mjs by node. The environment has
# PELTON_BIN, PELTON_MODEL_SMOLLM2, PELTON_MODEL_GEMMA3 and PELTON_CACHE. NEEDS names what must be
# there (smollm2, gemma3, node, go, or an absolute path or command); when it is absent the test is
# reported as not run. LABEL long: only in `make test-long`.
function(pelton_script_test)
  cmake_parse_arguments(T "" "NAME;LABEL;FILE;TIMEOUT" "NEEDS;ARGS" ${ARGN})
  if(T_UNPARSED_ARGUMENTS OR NOT T_NAME OR NOT T_LABEL OR NOT T_FILE)
    message(FATAL_ERROR "test ${T_NAME}: bad arguments ${T_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT PELTON_TESTS OR NOT PELTON_TEST_PREFIX STREQUAL "unit")
    return()
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 600)
  endif()
  list(JOIN T_NEEDS "," needs)
  add_test(NAME ${T_LABEL}/${T_NAME}
    COMMAND "${CMAKE_SOURCE_DIR}/tools/test/script.sh" "${needs}" "${CMAKE_CURRENT_SOURCE_DIR}/${T_FILE}" ${T_ARGS})
  set_tests_properties(${T_LABEL}/${T_NAME} PROPERTIES LABELS "${T_LABEL}" TIMEOUT ${T_TIMEOUT}
    SKIP_RETURN_CODE 77 ENVIRONMENT "PELTON_BIN=$<TARGET_FILE:pelton>" FIXTURES_REQUIRED built_unit)
endfunction()

function(pelton_python_test)
  pelton_script_test(${ARGN})
endfunction()

function(pelton_node_test)
  list(FIND ARGN NEEDS at)
  if(at LESS 0)
    pelton_script_test(${ARGN} NEEDS node)
  else()
    math(EXPR at "${at} + 1")
    list(INSERT ARGN ${at} node)
    pelton_script_test(${ARGN})
  endif()
endfunction()

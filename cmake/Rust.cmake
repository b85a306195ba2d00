# The Rust workspace (rust/) as the imported target pelton_rust: one static library and its C
# header. tools/setup/rust.sh builds it outside the clone, keyed by Cargo.lock and sources; giving
# PELTON_RUST_LIB_DIR uses a library built elsewhere.
if(EXISTS "${CMAKE_SOURCE_DIR}/rust/Cargo.lock")
  set(PELTON_RUST_LIB_DIR "" CACHE PATH "Folder with libpelton_rust.a; empty: build it from rust/")
  set(rust_lib_dir "${PELTON_RUST_LIB_DIR}")
  if(NOT rust_lib_dir)
    file(GLOB_RECURSE rust_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/rust/*.rs" "${CMAKE_SOURCE_DIR}/rust/*.toml")
    list(FILTER rust_sources EXCLUDE REGEX "/rust/target/")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${rust_sources}
      "${CMAKE_SOURCE_DIR}/rust/Cargo.lock")
    message(STATUS "Rust library: building when its sources changed")
    execute_process(COMMAND "${CMAKE_SOURCE_DIR}/tools/setup/rust.sh"
      OUTPUT_VARIABLE rust_lib_dir OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  endif()
  add_library(pelton_rust STATIC IMPORTED GLOBAL)
  set_target_properties(pelton_rust PROPERTIES
    IMPORTED_LOCATION "${rust_lib_dir}/libpelton_rust.a"
    INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_SOURCE_DIR}/rust/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
endif()

// Asio and Beast compiled once; the other sources only declare them (the SEPARATE_COMPILATION
// definitions of this room's CMakeLists.txt).
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>

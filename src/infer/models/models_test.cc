#include <gtest/gtest.h>
#include "models/model.h"
TEST(Models, Known) { EXPECT_EQ(pelton::models::KnownArchitectures().size(), 2u); }

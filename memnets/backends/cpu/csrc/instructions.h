// The vectors and those who use them: of a processor or of a GPU.
#pragma once

#if defined(MEMNETS_DEVICE)
#include "warp.h"
#else
#include "thread.h"
#endif

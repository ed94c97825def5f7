// Which slots were accessed the longest ago (memnets.parts.last_access).
#pragma once

#include <algorithm>

#include "simd.h"

namespace memnets {

// The `count` slots of the first `end` with the least times, of equals the lowest first.
inline void least_recent(const int64_t* times, Size end, Size count, Size* found) {
  constexpr Size chunk = 64;
  Size kept = 0;
  for (Size start = 0; start < end; start += chunk) {
    const Size last = std::min(end, start + chunk);
    if (kept == count) {
      int64_t least = times[start];
      for (Size n = start + 1; n < last; ++n) least = std::min(least, times[n]);
      if (least >= times[found[count - 1]]) continue;
    }
    for (Size n = start; n < last; ++n) {
      if (kept == count && times[n] >= times[found[count - 1]]) continue;
      Size place = kept < count ? kept++ : count - 1;
      for (; place > 0 && times[n] < times[found[place - 1]]; --place) found[place] = found[place - 1];
      found[place] = n;
    }
  }
}

}  // namespace memnets

// What the allocation of a DNC's slots goes by (docs/derivations.md, allocation).
#pragma once

#include "memory.h"

namespace memnets {

template <class T>
struct Allocation {
  T epsilon;     // keeps usage away from 0 in the products
  T resolution;  // of the order; 0: none
};

// What the products take: usage kept away from 0.
template <class T>
inline T lifted(Allocation<T> parameters, T usage) {
  return parameters.epsilon + (1 - parameters.epsilon) * usage;
}

// What the free list is sorted by.
template <class T>
inline T rank_key(Allocation<T> parameters, T usage) {
  return parameters.resolution != 0 ? std::nearbyint(usage / parameters.resolution) : usage;
}

}  // namespace memnets

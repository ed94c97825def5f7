// Allocation of a DNC's slots by one thread, which sorts them (docs/derivations.md, allocation).
#pragma once

#include "allocation.h"

namespace memnets {

// The free list: slots by ascending usage, rounded to multiples of the resolution; equal usage by
// number. It changes little from step to step, so that sorting starts from the list before by
// insertion, and gives up when that is slow.
template <class T>
inline void sort_slots(const T* keys, Size slots, int32_t* order) {
  const auto earlier = [keys](int32_t a, int32_t b) {
    return keys[a] < keys[b] || (keys[a] == keys[b] && a < b);
  };
  Size moves = 16 * slots;
  for (Size i = 1; i < slots && moves > 0; ++i) {
    const int32_t slot = order[i];
    Size j = i;
    for (; j > 0 && earlier(slot, order[j - 1]); --j, --moves) order[j] = order[j - 1];
    order[j] = slot;
  }
  if (moves <= 0) std::sort(order, order + slots, earlier);
}

// a[phi_j] = (1 - u[phi_j]) prod_{i<j} u[phi_i]. `order` holds the list before, and then this one;
// `keys` is scratch of `length`.
template <class T>
inline void allocation(Shape shape, Allocation<T> parameters, const T* usage, int32_t* order, T* keys,
                       T* weights) {
  for (Size n = 0; n < shape.slots; ++n) keys[n] = rank_key(parameters, usage[n]);
  sort_slots(keys, shape.slots, order);
  fill(weights, shape.length);
  T before = 1;
  for (Size j = 0; j < shape.slots && before != 0; ++j) {
    const T used = lifted(parameters, usage[order[j]]);
    weights[order[j]] = (1 - used) * before;
    before *= used;
  }
}

// d_usage += what d_weights says; the order has no gradient. `before`: scratch of `length`.
template <class T>
inline void allocation_backward(Shape shape, Allocation<T> parameters, const T* usage, const int32_t* order,
                                const T* weights, const T* d_weights, T* before, T* d_usage) {
  T product = 1;
  Size count = 0;
  for (; count < shape.slots && product != 0; ++count) {
    before[count] = product;
    product *= lifted(parameters, usage[order[count]]);
  }
  T later = 0;  // sum over what comes later in the list of d_weights * weights
  for (Size j = count - 1; j >= 0; --j) {
    const Size slot = order[j];
    const T d_lifted = later / lifted(parameters, usage[slot]) - d_weights[slot] * before[j];
    d_usage[slot] += (1 - parameters.epsilon) * d_lifted;
    later += d_weights[slot] * weights[slot];
  }
}

}  // namespace memnets

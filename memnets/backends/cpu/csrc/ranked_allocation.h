// Allocation of a DNC's slots by a warp (docs/derivations.md, allocation): a slot's place in the list is how many
// slots come before it, and products and sums along the list are made of 32 at once.
#pragma once

#include "allocation.h"

namespace memnets {

// Of 32 numbers, what `fold` makes of those up to this lane's.
template <class T, class Fold>
inline T up_to(T value, Fold fold) {
  MEMNETS_UNROLL
  for (int step = 1; step < 32; step <<= 1) {
    const T other = __shfl_up_sync(all_lanes, value, step);
    if (lane() >= step) value = fold(other, value);
  }
  return value;
}

// The sum of those from this lane's on.
template <class T>
inline T sum_from(T value) {
  MEMNETS_UNROLL
  for (int step = 1; step < 32; step <<= 1) {
    const T other = __shfl_down_sync(all_lanes, value, step);
    if (lane() + step < 32) value += other;
  }
  return value;
}

// Calls body(place, whether there is one, the product of all before it) along the list.
template <class T, class Body>
inline void along_list(Shape shape, Allocation<T> parameters, const T* usage, const int32_t* order, Body body) {
  T before = 1;
  for (Size start = 0; start < shape.slots; start += 32) {
    const Size j = start + lane();
    const T used = j < shape.slots ? lifted(parameters, usage[order[j]]) : T(1);
    const T product = up_to(used, [](T a, T b) { return a * b; });
    const T earlier = __shfl_up_sync(all_lanes, product, 1);
    if (j < shape.slots) body(j, before * (lane() ? earlier : T(1)));
    before *= __shfl_sync(all_lanes, product, 31);
  }
}

// a[phi_j] = (1 - u[phi_j]) prod_{i<j} u[phi_i]. `order` becomes this step's list; `keys` is scratch of
// `length`.
template <class T>
inline void allocation(Shape shape, Allocation<T> parameters, const T* usage, int32_t* order, T* keys,
                       T* weights) {
  each_alone(shape.slots, [=](Size n) { keys[n] = rank_key(parameters, usage[n]); });
  fill(weights, shape.length);
  barrier();
  each_alone(shape.slots, [=](Size n) {
    Size place = 0;
    for (Size i = 0; i < shape.slots; ++i) place += keys[i] < keys[n] || (keys[i] == keys[n] && i < n);
    order[place] = static_cast<int32_t>(n);
  });
  barrier();
  along_list(shape, parameters, usage, order, [=](Size j, T before) {
    weights[order[j]] = (1 - lifted(parameters, usage[order[j]])) * before;
  });
  barrier();
}

// d_usage += what d_weights says; the order has no gradient. `before`: scratch of `length`.
template <class T>
inline void allocation_backward(Shape shape, Allocation<T> parameters, const T* usage, const int32_t* order,
                                const T* weights, const T* d_weights, T* before, T* d_usage) {
  barrier();
  along_list(shape, parameters, usage, order, [=](Size j, T product) { before[j] = product; });
  T later = 0;  // sum over what comes later in the list of d_weights * weights
  for (Size start = (shape.slots - 1) / 32 * 32; start >= 0; start -= 32) {
    const Size j = start + lane();
    // What comes after a usage of 0 has no part of any product.
    const bool there = j < shape.slots && before[j] != 0;
    const Size slot = there ? order[j] : 0;
    const T sum = sum_from(there ? d_weights[slot] * weights[slot] : T(0));
    const T after = __shfl_down_sync(all_lanes, sum, 1);
    if (there)
      d_usage[slot] += (1 - parameters.epsilon) *
                       ((later + (lane() < 31 ? after : T(0))) / lifted(parameters, usage[slot]) -
                        d_weights[slot] * before[j]);
    later += __shfl_sync(all_lanes, sum, 0);
  }
  barrier();
}

}  // namespace memnets

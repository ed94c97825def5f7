// Usage and allocation of a DNC's slots, for one row of the batch (docs/derivations.md, update_usage).
#pragma once

#if defined(MEMNETS_DEVICE)
#include "ranked_allocation.h"
#else
#include "sorted_allocation.h"
#endif

namespace memnets {

// How usage changes: usage_after = (usage + (1 - usage) w, head after head) * prod_r (1 - f_r w_r)
template <class T>
struct UsageUpdate {
  Size readers, writers;
  const T* read_weights;   // [R, length], of the step before
  const T* write_weights;  // [H, length], of the step before
  const T* free_gates;     // [R]
};

template <class T>
inline void update_usage(Shape shape, UsageUpdate<T> parameters, const T* usage, T* after) {
  const Vector<T> one(1);
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    Vector<T> value = load(usage + n);
    for (Size h = 0; h < parameters.writers; ++h)
      value = multiply_add(one - value, load(parameters.write_weights + h * shape.length + n), value);
    for (Size r = 0; r < parameters.readers; ++r)
      value = value *
              (one - Vector<T>(parameters.free_gates[r]) * load(parameters.read_weights + r * shape.length + n));
    store(value, after + n);
  }
}

// psi = prod_r (1 - f_r w_r)
template <class T>
inline void retention(Shape shape, UsageUpdate<T> parameters, T* kept) {
  const Vector<T> one(1);
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    Vector<T> value = one;
    for (Size r = 0; r < parameters.readers; ++r)
      value = value * (one - Vector<T>(parameters.free_gates[r]) *
                                 load(parameters.read_weights + r * shape.length + n));
    store(value, kept + n);
  }
}

// d_usage becomes that of the step before; the others are added to (d_write_weights: unless null).
// d_kept: what else psi has for a gradient; null: nothing.
template <class T>
inline void update_usage_backward(Shape shape, UsageUpdate<T> parameters, const T* usage, T* d_usage,
                                  T* d_read_weights, T* d_write_weights, T* d_free_gates,
                                  const T* d_kept) {
  const Vector<T> one(1);
  const Size readers = parameters.readers, writers = parameters.writers;
  HeadVectors<T> raised(writers + 1), later(readers + 1), freed(readers, Vector<T>(0));
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    raised[0] = load(usage + n);
    for (Size h = 0; h < writers; ++h)
      raised[h + 1] =
          multiply_add(one - raised[h], load(parameters.write_weights + h * shape.length + n), raised[h]);
    later[readers] = one;
    for (Size r = readers - 1; r >= 0; --r)
      later[r] = later[r + 1] * (one - Vector<T>(parameters.free_gates[r]) *
                                           load(parameters.read_weights + r * shape.length + n));
    Vector<T> d = load(d_usage + n);
    Vector<T> d_retention = d * raised[writers];
    if (d_kept) d_retention = d_retention + load(d_kept + n);
    Vector<T> earlier = one;
    for (Size r = 0; r < readers; ++r) {
      const Vector<T> gate(parameters.free_gates[r]),
          weight = load(parameters.read_weights + r * shape.length + n);
      const Vector<T> others = d_retention * earlier * later[r + 1];
      freed[r] = multiply_add(others, weight, freed[r]);
      T* place = d_read_weights + r * shape.length + n;
      store(load(place) - others * gate, place);
      earlier = earlier * (one - gate * weight);
    }
    d = d * later[0];
    for (Size h = writers - 1; h >= 0; --h) {
      if (d_write_weights) {
        T* place = d_write_weights + h * shape.length + n;
        store(multiply_add(d, one - raised[h], load(place)), place);
      }
      d = d * (one - load(parameters.write_weights + h * shape.length + n));
    }
    store(d, d_usage + n);
  }
  sums_of_rows<T, 1, 1>(
      readers, [&](Size r, auto, auto& sums) MEMNETS_ALWAYS { sums[0][0] = freed[r]; },
      [=](Size r, const T (&sum)[1]) MEMNETS_ALWAYS { d_free_gates[r] = -sum[0]; });
}

}  // namespace memnets

// Weightings raised to powers (docs/derivations.md, sharpen).
#pragma once

#include "memory.h"

namespace memnets {

// y = (w + epsilon)^power, to a sum of 1. scratch: one row.
template <class T>
inline void sharpen(Shape shape, const T* weights, T epsilon, T power, T* sharpened, T* scratch) {
  const Vector<T> least(epsilon);
  for (Size n = 0; n < shape.length; n += lanes<T>)
    store(logarithm(load(weights + n) + least), scratch + n);
  softmax(scratch, power, sharpened, shape.slots, shape.length);
}

// d, of y, becomes that of w; returns that of the power.
template <class T>
inline T sharpen_backward(Shape shape, const T* weights, T epsilon, T power, const T* sharpened, T* d) {
  const Vector<T> least(epsilon), factor(power);
  softmax_backward(sharpened, d, d, shape.length);
  Vector<T> d_power(0);
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> base = load(weights + n) + least, d_exponent = load(d + n);
    d_power = multiply_add(d_exponent, logarithm(base), d_power);
    store(factor * d_exponent / base, d + n);
  }
  return total(d_power);
}

}  // namespace memnets

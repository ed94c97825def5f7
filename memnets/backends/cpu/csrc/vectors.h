// Rows of numbers: what the kernels are written in. Lengths that are no multiple of a vector's
// lanes are padded (N) or end in a part of a vector.
//
// Number n of a row is loaded and stored by the lane n % lanes alone, so that loops over rows need no
// barrier. barrier() stands where a lane needs what another has stored, row_barrier() where another of those
// who take the row together has.
#pragma once

#include "functions.h"

namespace memnets {

template <class T>
constexpr Size padded(Size count) {
  return (count + lanes<T> - 1) / lanes<T> * lanes<T>;
}

// Calls body(start, count) for every vector of a row of any length.
template <class T, class Body>
MEMNETS_INLINE void each(Size length, Body body) {
  Size start = 0;
  for (; start + lanes<T> <= length; start += lanes<T>) body(start, lanes<T>);
  if (start < length) body(start, length - start);
}

// Calls body(n) for every n: each is one lane's.
template <class Body>
MEMNETS_INLINE void each_alone(Size count, Body body) {
  for (Size n = lane(); n < count; n += lanes_apart) body(n);
}

// to += from
template <class T>
MEMNETS_INLINE void add(T* to, const T* from, Size length) {
  each<T>(length, [=](Size n, Size count) MEMNETS_ALWAYS {
    store(load(to + n, count) + load(from + n, count), to + n, count);
  });
}

// All that follows takes rows whose length is padded to whole vectors.

template <Size count>
using Count = std::integral_constant<Size, count>;

// Calls body(start, Count<vectors>) for several vectors at once, and one by one for what is left: one
// sum waits for itself, four wait for nobody, and a broadcast serves all four.
template <class T, Size vectors = 4, class Body>
MEMNETS_INLINE void blocks(Size length, Body body) {
  Size start = 0;
  for (; start + vectors * lanes<T> <= length; start += vectors * lanes<T>) body(start, Count<vectors>());
  for (; start < length; start += lanes<T>) body(start, Count<1>());
}

// Calls body(n) for every n: each is that of one of those who take a row together.
template <class Body>
MEMNETS_INLINE void each_divided(Size count, Body body) {
  for (Size n = member(); n < count; n += members()) body(n);
}

// Calls body(first, Count<heads>) for up to four heads at once: what is loaded serves all of them.
template <class Body>
MEMNETS_INLINE void groups(Size heads, Body body) {
  Size first = 0;
  if constexpr (heads_at_once) {
    for (; first + 4 <= heads; first += 4) body(first, Count<4>());
    switch (heads - first) {
      case 3: return body(first, Count<3>());
      case 2: return body(first, Count<2>());
      case 1: return body(first, Count<1>());
    }
  } else {
    for (; first < heads; ++first) body(first, Count<1>());
  }
}

// Calls body(first, Count<some>) for two heads at once, and for one that is left.
template <Size heads, class Body>
MEMNETS_INLINE void pairs(Body body) {
  if constexpr (heads > 1)
    for (Size first = 0; first + 2 <= heads; first += 2) body(first, Count<2>());
  if constexpr (heads % 2) body(heads - 1, Count<1>());
}

// How many vectors side by side leave the sums of so many heads in registers.
constexpr Size beside(Size heads) { return heads > 2 ? 2 : 4; }

// The sums of `many` vectors for each of `count` rows. body(first, Count<rows>, vectors) sets
// Vector<T> vectors[rows][many]: it is called for `group` rows at once, and one by one for what is left.
// take(n, sums) gets T sums[many] of row n: it is called by the lane n % lanes alone.
template <class T, Size many, Size group, class Body, class Take>
MEMNETS_INLINE void sums_of_rows(Size count, Body body, Take take) {
  RowSums<T, many> collected;
  const auto next = [&](Size first, auto rows) MEMNETS_ALWAYS {
    constexpr Size here = decltype(rows)::value;
    Vector<T> vectors[here][many];
    body(first, rows, vectors);
    MEMNETS_UNROLL
    for (Size i = 0; i < here; ++i) collected.add(first + i, vectors[i], take);
  };
  Size first = 0;
  for (; first + group <= count; first += group) next(first, Count<group>());
  if constexpr (group > 1)
    for (; first < count; ++first) next(first, Count<1>());
  collected.finish(count, take);
}

// Of a dot product, what is to be summed.
template <class T>
MEMNETS_INLINE Vector<T> products(const T* a, const T* b, Size length) {
  Vector<T> sum(0);
  for (Size n = 0; n < length; n += lanes<T>) sum = multiply_add(load(a + n), load(b + n), sum);
  return sum;
}

template <class T>
MEMNETS_INLINE T dot(const T* a, const T* b, Size length) {
  return total(products(a, b, length));
}

// to += factor * from
template <class T>
MEMNETS_INLINE void add_scaled(T* to, T factor, const T* from, Size length) {
  const Vector<T> scale(factor);
  for (Size n = 0; n < length; n += lanes<T>)
    store(multiply_add(scale, load(from + n), load(to + n)), to + n);
}

template <class T>
inline void zero_padding(T* row, Size used, Size length) {
  if (used == length) return;
  T* last = row + length - lanes<T>;
  store(Vector<T>::set(Vector<T>(0), load(last), used - (length - lanes<T>)), last);
}

// to = softmax(scale * from) over `used` numbers; the padding becomes 0. `to` may be `from`. The
// largest is subtracted before the scale multiplies: scale * largest is rounded, and by more than an
// exponential can take where the scale is 1e10 (float32).
template <class T>
MEMNETS_INLINE void softmax(const T* from, T scale, T* to, Size used, Size length) {
  Vector<T> most(-std::numeric_limits<T>::infinity());
  Size whole = 0;
  for (; whole + lanes<T> <= used; whole += lanes<T>) most = maximum(most, load(from + whole));
  if (whole < used) most = maximum(most, Vector<T>::set(most, load(from + whole), used - whole));
  const Vector<T> factor(scale), top(largest_of(most));
  Vector<T> sum(0);
  for (Size n = 0; n < length; n += lanes<T>) {
    Vector<T> power = exponential(factor * (load(from + n) - top));
    if (n + lanes<T> > used) power = Vector<T>::set(Vector<T>(0), power, used - n);
    sum = sum + power;
    store(power, to + n);
  }
  const Vector<T> norm(T(1) / total(sum));
  for (Size n = 0; n < length; n += lanes<T>) store(load(to + n) * norm, to + n);
}

// Gradient of softmax(x) at its value y: to = y * (dy - sum(y dy)).
template <class T>
MEMNETS_INLINE void softmax_backward(const T* y, const T* dy, T* to, Size length) {
  const Vector<T> mean(dot(y, dy, length));
  for (Size n = 0; n < length; n += lanes<T>)
    store(load(y + n) * (load(dy + n) - mean), to + n);
}

}  // namespace memnets

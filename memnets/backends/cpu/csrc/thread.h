// Who works on rows of the batch, on a processor: a thread alone, whose vectors are those of simd.h. What
// is here has its like in warp.h, for a GPU, where lanes are threads of their own.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <vector>

#include "simd.h"

// Before a loop of a few constant turns over an array of vectors: only unrolled does the array live in
// registers.
#if defined(__clang__)
#define MEMNETS_UNROLL _Pragma("unroll")
#else
#define MEMNETS_UNROLL _Pragma("GCC unroll 16")
#endif

namespace memnets {

// Memory that begins where a vector does: one that lies across two cache lines costs twice.
template <class T>
struct Aligned {
  using value_type = T;
  static constexpr std::align_val_t line{64};
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), line));
  }
  void deallocate(T* place, std::size_t) { ::operator delete(place, line); }
  bool operator==(const Aligned&) const { return true; }
};

template <class T>
using Buffer = std::vector<T, Aligned<T>>;

// Numbers to work with, zeros at first, for as long as it lives.
template <class T>
class Arena {
 public:
  T* take(Size count) {
    taken_.emplace_back(count, T(0));
    return taken_.back().data();
  }
  // For each of those who take rows its own.
  T* take_for_each(Size count) { return take(count); }

 private:
  std::vector<Buffer<T>> taken_;
};

// A vector for each head.
template <class T>
using HeadVectors = std::vector<Vector<T>>;

// Which of those who share rows takes a row, and how many they are.
constexpr Size worker() { return 0; }
constexpr Size workers() { return 1; }
// Which of those who take one row together this is, and how many they are. The first goes through the
// row's steps; the others come to the passes over its links.
constexpr Size member() { return 0; }
constexpr Size members() { return 1; }
constexpr bool leads() { return true; }
// The first of the numbers that are this thread's alone, and how far apart they are.
constexpr Size lane() { return 0; }
constexpr Size lanes_apart = 1;

// Until all lanes are here, and see what the others stored; until all who take this row together are;
// until all who share rows are.
MEMNETS_INLINE void barrier() {}
MEMNETS_INLINE void row_barrier() {}
MEMNETS_INLINE void block_barrier() {}

// Stores a number that all lanes know.
template <class T>
MEMNETS_INLINE void put(T* row, Size n, T value) {
  row[n] = value;
}

// The sums of `many` vectors for each of several rows, which come one after the other from row 0 on:
// take(n, sums) gets those of row n.
template <class T, Size many>
class RowSums {
 public:
  template <class Take>
  MEMNETS_INLINE void add(Size n, const Vector<T> (&vectors)[many], Take take) {
    T sums[many];
    MEMNETS_UNROLL
    for (Size s = 0; s < many; ++s) sums[s] = total(vectors[s]);
    take(n, sums);
  }
  // After the last of `count` rows.
  template <class Take>
  MEMNETS_INLINE void finish(Size, Take) {}
};

// Of `count` rows in whole groups, those that are a member's own: from `first` to `end`.
struct Interval {
  Size first, end;
};
constexpr Interval own_rows(Size count, Size) { return {0, count}; }

// What a pass over a link takes of each vector of slots, and what it adds up there: side by side, so that
// a single address leads to all of it.
template <class Taken, class Sums>
class Columns {
 public:
  template <class T>
  Columns(T* place, Size) : columns_(reinterpret_cast<Column*>(place)) {}
  MEMNETS_INLINE Taken& taken(Size index) const { return columns_[index].taken; }
  MEMNETS_INLINE Sums& sums(Size index, Size = 0) const { return columns_[index].sums; }

 private:
  struct Column {
    Taken taken;
    Sums sums;
  };
  Column* columns_;
};

template <class T>
inline void fill(T* to, Size length, T value = 0) {
  std::fill(to, to + length, value);
}

template <class T>
MEMNETS_INLINE void copy(T* to, const T* from, Size length) {
  std::memcpy(to, from, length * sizeof(T));
}

// Ones, then a zero, then ones.
template <class T>
constexpr std::array<T, 2 * lanes<T>> ones_and_zero = [] {
  std::array<T, 2 * lanes<T>> table{};
  for (Size n = 0; n < 2 * lanes<T>; ++n) table[n] = n != lanes<T>;
  return table;
}();

// One vector of ones, but for a zero at a place of it.
template <class T>
MEMNETS_INLINE Vector<T> all_but_one(Size place) {
  return load(ones_and_zero<T>.data() + lanes<T> - place);
}

// Whether several heads pass over a memory at once.
constexpr bool heads_at_once = true;

// Whether a backward makes again the links that were not kept: it has several ways over them then.
constexpr bool remakes_links = true;

MEMNETS_INLINE void prefetch(const void* place) { __builtin_prefetch(place); }

}  // namespace memnets

// Who works on rows of the batch, on a GPU: a vector is a warp, of which each thread holds one number, and
// what a thread is on a processor is a block of warps: y is the row, x / 32 one of the row's warps. It has
// what simd.h and thread.h have, from the words of CUDA, which nvrtc.h or an emulator bring.
#pragma once

namespace memnets {

using Size = DeviceSize;

template <class T>
constexpr Size lanes = 32;
constexpr unsigned all_lanes = 0xffffffffu;
// Of one kind that a kernel for the device can have.
constexpr Size most_heads = 16;

template <class T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using type = uint32_t;
};
template <>
struct BitsOf<double> {
  using type = uint64_t;
};
template <class T>
using Bits = typename BitsOf<T>::type;
template <class T>
using Raw = T;

namespace native {

template <class T>
inline T larger(T a, T b) {
  return a > b ? a : b;
}
template <class T>
inline T smaller(T a, T b) {
  return a < b ? a : b;
}

}  // namespace native

inline Size lane() { return threadIdx.x % 32; }
constexpr Size lanes_apart = 32;
inline Size worker() { return threadIdx.y; }
inline Size workers() { return blockDim.y; }
// Which of the row's warps this is, and how many it has. The first goes through the row's steps; the
// others come to the passes over its links.
inline Size member() { return threadIdx.x / 32; }
inline Size members() { return blockDim.x / 32; }
inline bool leads() { return member() == 0; }
inline Size thread_of_block() { return threadIdx.y * blockDim.x + threadIdx.x; }
inline Size threads_of_block() { return blockDim.y * blockDim.x; }
inline void barrier() { __syncwarp(); }
// One of the 15 barriers that a block has besides its own.
inline void row_barrier() { __barrier_sync_count(threadIdx.y + 1, blockDim.x); }
inline void block_barrier() { __syncthreads(); }
inline void prefetch(const void*) {}

template <class T>
class Vector {
 public:
  T raw;

  Vector() = default;
  Vector(T value) : raw(value) {}

  Vector sqrt() const { return ::sqrt(raw); }
  Vector inverse_root() const { return T(1) / ::sqrt(raw); }

  // a with the first `count` numbers of b.
  static Vector set(Vector a, Vector b, Size count) { return lane() < count ? b : a; }

  friend Vector operator+(Vector a, Vector b) { return a.raw + b.raw; }
  friend Vector operator-(Vector a, Vector b) { return a.raw - b.raw; }
  friend Vector operator*(Vector a, Vector b) { return a.raw * b.raw; }
  friend Vector operator/(Vector a, Vector b) { return a.raw / b.raw; }
  friend bool operator<(Vector a, Vector b) { return a.raw < b.raw; }
  friend bool operator==(Vector a, Vector b) { return a.raw == b.raw; }
};

template <class T>
using Mask = bool;

template <class T>
inline Vector<T> select(bool mask, Vector<T> yes, Vector<T> no) {
  return mask ? yes : no;
}

template <class T>
inline Bits<T> bits(Vector<T> value) {
  return __builtin_bit_cast(Bits<T>, value.raw);
}

template <class T>
inline Vector<T> from_bits(Bits<T> value) {
  return __builtin_bit_cast(T, value);
}

template <class T>
inline Vector<T> load(const T* from) {
  return from[lane()];
}

// Numbers past `count` are 0.
template <class T>
inline Vector<T> load(const T* from, Size count) {
  return lane() < count ? from[lane()] : T(0);
}

template <class T>
inline void store(Vector<T> value, T* to) {
  to[lane()] = value.raw;
}

template <class T>
inline void store(Vector<T> value, T* to, Size count) {
  if (lane() < count) to[lane()] = value.raw;
}

template <class T>
inline void store_away(Vector<T> value, T* to) {
  store(value, to);
}

template <class T>
inline Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
  return fma(a.raw, b.raw, c.raw);
}

// NaN where one of the two is.
template <class T>
inline Vector<T> maximum(Vector<T> a, Vector<T> b) {
  return a == a ? native::larger(a.raw, b.raw) : a.raw;
}

template <class T>
inline Vector<T> absolute(Vector<T> value) {
  return fabs(value.raw);
}

// The magnitude of the one with the sign of the other.
template <class T>
inline Vector<T> with_sign(Vector<T> magnitude, Vector<T> sign_of) {
  return copysign(magnitude.raw, sign_of.raw);
}

// Of this lane: all have the same where a number became a vector.
template <class T>
inline T first(Vector<T> value) {
  return value.raw;
}

// What `fold` makes of all numbers: in halves, so that every lane has the same to the last bit.
template <class T, class Fold>
inline T folded(Vector<T> value, Fold fold) {
  T result = value.raw;
  MEMNETS_UNROLL
  for (int step = 16; step; step >>= 1) result = fold(result, __shfl_xor_sync(all_lanes, result, step));
  return result;
}

template <class T>
inline T total(Vector<T> value) {
  return folded(value, [](T a, T b) { return a + b; });
}

template <class T>
inline T largest_of(Vector<T> value) {
  return folded(value, [](T a, T b) { return a < b ? b : a; });
}

// Stores a number that all lanes know: by the lane whose place it is.
template <class T>
inline void put(T* row, Size n, T value) {
  if (lane() == n % 32) row[n] = value;
}

// The sums of `many` vectors for each of several rows, which come one after the other from row 0 on:
// take(n, sums) gets those of row n, in the lane n % 32 alone. By a single exchange two rows become one
// vector, half of whose lanes are for the one and half for the other; by another, two of these become
// one of four rows, and so on: 31 exchanges for 32 sums, where a sum alone takes 5.
template <class T, Size many>
class RowSums {
 public:
  template <class Take>
  void add(Size n, const Vector<T> (&vectors)[many], Take take) {
    T sums[many];
    MEMNETS_UNROLL
    for (Size s = 0; s < many; ++s) sums[s] = vectors[s].raw;
    add_from<0>(n, sums, take);
  }

  // After the last of `count` rows.
  template <class Take>
  void finish(Size count, Take take) {
    const Size left = count % 32;
    if (!left) return;
    T sums[many] = {};
    finish_from<0>(left, sums);
    if (lane() < left) take(count - left + lane(), sums);
  }

 private:
  // The level is a constant wherever it is an index: only then do the rows stay in registers.
  template <int level, class Take>
  void add_from(Size n, T (&sums)[many], Take take) {
    if constexpr (level == 5) {
      take(n - 31 + lane(), sums);
    } else if (n >> level & 1) {
      join<level>(earlier_[level], sums);
      add_from<level + 1>(n, sums, take);
    } else {
      MEMNETS_UNROLL
      for (Size s = 0; s < many; ++s) earlier_[level][s] = sums[s];
    }
  }

  template <int level>
  void finish_from(Size left, T (&sums)[many]) {
    if (left >> level & 1) {
      join<level>(earlier_[level], sums);
    } else if (left & ((1 << level) - 1)) {
      MEMNETS_UNROLL
      for (Size s = 0; s < many; ++s) sums[s] += __shfl_xor_sync(all_lanes, sums[s], 1 << level);
    }
    if constexpr (level < 4) finish_from<level + 1>(left, sums);
  }

  // Lanes without the bit `level` are for the earlier rows, those with it for the later ones.
  template <int level>
  static void join(const T (&earlier)[many], T (&later)[many]) {
    const bool second = lane() >> level & 1;
    MEMNETS_UNROLL
    for (Size s = 0; s < many; ++s) {
      const T a = earlier[s], b = later[s];
      later[s] = (second ? b : a) + __shfl_xor_sync(all_lanes, second ? a : b, 1 << level);
    }
  }

  T earlier_[5][many];  // of 2^level rows each
};

// Of `count` rows in whole groups, those that are a member's own: from `first` to `end`.
struct Interval {
  Size first, end;
};
inline Interval own_rows(Size count, Size group) {
  const Size groups = (count + group - 1) / group, most = (groups + members() - 1) / members() * group;
  return {std::min(count, member() * most), std::min(count, (member() + 1) * most)};
}

// What a pass over a link takes of each vector of slots, and what each member adds up there.
template <class Taken, class Sums>
class Columns {
 public:
  template <class T>
  Columns(T* place, Size vectors)
      : taken_(reinterpret_cast<Taken*>(place)),
        sums_(reinterpret_cast<Sums*>(taken_ + vectors)),
        vectors_(vectors) {}
  Taken& taken(Size index) const { return taken_[index]; }
  Sums& sums(Size index, Size of = member()) const { return sums_[of * vectors_ + index]; }

 private:
  Taken* taken_;
  Sums* sums_;
  Size vectors_;
};

template <class T>
inline void fill(T* to, Size length, T value = 0) {
  for (Size n = lane(); n < length; n += 32) to[n] = value;
}

template <class T>
inline void copy(T* to, const T* from, Size length) {
  for (Size n = lane(); n < length; n += 32) to[n] = from[n];
}

// One vector of ones, but for a zero at a place of it.
template <class T>
inline Vector<T> all_but_one(Size place) {
  return lane() == place ? T(0) : T(1);
}

// More ways over the memory and its links would each take long to compile: heads pass one by one, and all
// links are kept.
constexpr bool heads_at_once = false;
constexpr bool remakes_links = false;

// A vector for each head.
template <class T>
class HeadVectors {
 public:
  explicit HeadVectors(Size count, Vector<T> value = Vector<T>(0)) {
    for (Size h = 0; h < count; ++h) content_[h] = value;
  }
  Vector<T>& operator[](Size head) { return content_[head]; }

 private:
  Vector<T> content_[most_heads + 1];
};

// Numbers to work with, zeros at first: a block's, taken one part after the other by all its threads.
template <class T>
class Arena {
 public:
  explicit Arena(T* place) : place_(place) {}
  T* take(Size count) {
    T* taken = place_;
    place_ += (count + 31) / 32 * 32;
    for (Size n = thread_of_block(); n < count; n += threads_of_block()) taken[n] = 0;
    block_barrier();
    return taken;
  }
  // For each row its own.
  T* take_for_each(Size count) {
    const Size whole = (count + 31) / 32 * 32;
    return take(workers() * whole) + worker() * whole;
  }

 private:
  T* place_;
};

}  // namespace memnets

// One vector of numbers, as wide as the instruction set that the compiler was told to use has it:
// AVX-512, AVX2 with FMA, SSE2, NEON, or 16 bytes of whatever there is.
//
// Arithmetic, comparisons and choices are the vector extensions that GCC and Clang share, so that
// what is written with them is written once; `native` holds the few operations that these lack.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define MEMNETS_AVX512
#elif defined(__AVX2__) && defined(__FMA__)
#define MEMNETS_AVX2
#elif defined(__SSE2__)
#define MEMNETS_SSE2
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define MEMNETS_NEON
#endif

#if defined(MEMNETS_AVX512) || defined(MEMNETS_AVX2) || defined(MEMNETS_SSE2)
#pragma GCC diagnostic push
#if !defined(__clang__)
// g++ 12 warns about what its own AVX-512 header leaves undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(MEMNETS_NEON)
#include <arm_neon.h>
#endif

// Before a function of a few structures by value. In a call they would go through memory: what is read
// there right after it was written waits for all stores before it, of which a step has many.
#define MEMNETS_ALWAYS __attribute__((always_inline))
#define MEMNETS_INLINE inline MEMNETS_ALWAYS
// Before a function with a way for each count of heads: a GPU's compiler, which knows the count, takes
// the one that is used, if only the function is a part of what calls it.
#define MEMNETS_SIZED inline

namespace memnets {

using Size = int64_t;

#if defined(MEMNETS_AVX512)
constexpr Size vector_bytes = 64;
constexpr char instruction_set[] = "AVX-512";
#elif defined(MEMNETS_AVX2)
constexpr Size vector_bytes = 32;
constexpr char instruction_set[] = "AVX2";
#elif defined(MEMNETS_SSE2)
constexpr Size vector_bytes = 16;
constexpr char instruction_set[] = "SSE2";
#elif defined(MEMNETS_NEON)
constexpr Size vector_bytes = 16;
constexpr char instruction_set[] = "NEON";
#else
constexpr Size vector_bytes = 16;
constexpr char instruction_set[] = "no vector instructions known";
#endif

template <class T>
constexpr Size lanes = vector_bytes / sizeof(T);

// The integer that holds a number's bits.
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
struct RawVector {
  typedef T type __attribute__((vector_size(vector_bytes)));
  // The same in memory that begins at any number.
  typedef T anywhere __attribute__((vector_size(vector_bytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Raw = typename RawVector<T>::type;

// What the extensions lack. larger and smaller give b where one of the two is NaN.
namespace native {

using Floats = Raw<float>;
using Doubles = Raw<double>;

#if defined(MEMNETS_AVX512)

inline Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Doubles fused(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Doubles larger(Doubles a, Doubles b) { return _mm512_max_pd(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Doubles smaller(Doubles a, Doubles b) { return _mm512_min_pd(a, b); }
inline Floats root(Floats a) { return _mm512_sqrt_ps(a); }
inline Doubles root(Doubles a) { return _mm512_sqrt_pd(a); }
// Newton's step on an estimate to 14 bits: a root and a division take three times as long. At infinity
// the estimate is exact, and has no step to take. `a` is above 0: it holds an epsilon.
inline Floats inverse_root(Floats a) {
  const Floats estimate = _mm512_rsqrt14_ps(a);
  const Floats step = fused(a * estimate, estimate * -0.5f, 0.5f - Floats{});
  return _mm512_mask_mov_ps(fused(estimate, step, estimate), _mm512_fpclass_ps_mask(a, 0x08), estimate);
}
inline Doubles inverse_root(Doubles a) { return 1.0 / root(a); }
// a * 2^b, rounded once.
inline Floats scaled(Floats a, Floats b) { return _mm512_scalef_ps(a, b); }
inline Doubles scaled(Doubles a, Doubles b) { return _mm512_scalef_pd(a, b); }
inline Floats load(const float* from, Size count) {
  return _mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from);
}
inline Doubles load(const double* from, Size count) {
  return _mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), from);
}
inline void store(Floats a, float* to, Size count) {
  _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), a);
}
inline void store(Doubles a, double* to, Size count) {
  _mm512_mask_storeu_pd(to, __mmask8((1u << count) - 1), a);
}
inline void stream(Floats a, float* to) { _mm512_stream_ps(to, a); }
using Ints = __m512i;
inline Ints widened(const int8_t* from) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Ints everywhere(int32_t pair) { return _mm512_set1_epi32(pair); }
inline Ints add_pairs(Ints a, Ints b, Ints sum) {
  return _mm512_add_epi32(_mm512_madd_epi16(a, b), sum);
}
inline Floats as_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
inline bool all_below(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ) == 0; }
inline void stream(Doubles a, double* to) { _mm512_stream_pd(to, a); }

#elif defined(MEMNETS_AVX2)

// `count` times -1, then zeros.
inline __m256i first_ints(Size count) {
  static constexpr int32_t table[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table + 8 - count));
}
inline Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Doubles fused(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
inline Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Doubles larger(Doubles a, Doubles b) { return _mm256_max_pd(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Doubles smaller(Doubles a, Doubles b) { return _mm256_min_pd(a, b); }
inline Floats root(Floats a) { return _mm256_sqrt_ps(a); }
inline Doubles root(Doubles a) { return _mm256_sqrt_pd(a); }
inline Floats load(const float* from, Size count) {
  return _mm256_maskload_ps(from, first_ints(count));
}
inline Doubles load(const double* from, Size count) {
  return _mm256_maskload_pd(from, first_ints(2 * count));
}
inline void store(Floats a, float* to, Size count) {
  _mm256_maskstore_ps(to, first_ints(count), a);
}
inline void store(Doubles a, double* to, Size count) {
  _mm256_maskstore_pd(to, first_ints(2 * count), a);
}
inline void stream(Floats a, float* to) { _mm256_stream_ps(to, a); }
using Ints = __m256i;
inline Ints widened(const int8_t* from) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Ints everywhere(int32_t pair) { return _mm256_set1_epi32(pair); }
inline Ints add_pairs(Ints a, Ints b, Ints sum) {
  return _mm256_add_epi32(_mm256_madd_epi16(a, b), sum);
}
inline Floats as_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
inline bool all_below(Floats a, Floats b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ)) == 0;
}
inline void stream(Doubles a, double* to) { _mm256_stream_pd(to, a); }

#else

#if defined(MEMNETS_SSE2)
inline Floats fused(Floats a, Floats b, Floats c) { return a * b + c; }  // it has none
inline Doubles fused(Doubles a, Doubles b, Doubles c) { return a * b + c; }
inline Floats larger(Floats a, Floats b) { return _mm_max_ps(a, b); }
inline Doubles larger(Doubles a, Doubles b) { return _mm_max_pd(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm_min_ps(a, b); }
inline Doubles smaller(Doubles a, Doubles b) { return _mm_min_pd(a, b); }
inline Floats root(Floats a) { return _mm_sqrt_ps(a); }
inline Doubles root(Doubles a) { return _mm_sqrt_pd(a); }
#elif defined(MEMNETS_NEON)
inline Floats fused(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
inline Doubles fused(Doubles a, Doubles b, Doubles c) { return vfmaq_f64(c, a, b); }
inline Floats larger(Floats a, Floats b) { return vmaxq_f32(a, b); }
inline Doubles larger(Doubles a, Doubles b) { return vmaxq_f64(a, b); }
inline Floats smaller(Floats a, Floats b) { return vminq_f32(a, b); }
inline Doubles smaller(Doubles a, Doubles b) { return vminq_f64(a, b); }
inline Floats root(Floats a) { return vsqrtq_f32(a); }
inline Doubles root(Doubles a) { return vsqrtq_f64(a); }
#else
template <class V>
inline V fused(V a, V b, V c) {
  return a * b + c;
}
template <class V>
inline V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
inline V smaller(V a, V b) {
  return a < b ? a : b;
}
template <class V>
inline V root(V a) {
  for (Size i = 0; i < Size(sizeof(V) / sizeof(a[0])); ++i) a[i] = std::sqrt(a[i]);
  return a;
}
#endif

template <class T>
inline Raw<T> load(const T* from, Size count) {
  Raw<T> a{};
  for (Size i = 0; i < count; ++i) a[i] = from[i];
  return a;
}
template <class V, class T>
inline void store(V a, T* to, Size count) {
  for (Size i = 0; i < count; ++i) to[i] = a[i];
}
template <class V, class T>
inline void stream(V a, T* to) {
  std::memcpy(to, &a, sizeof(a));
}
// Ints are pairs of small integers, as many as there are lanes of float, or an integer in each lane;
// add_pairs is sum + a low * b low + a high * b high.
#if defined(MEMNETS_SSE2)
using Ints = __m128i;
inline Ints widened(const int8_t* from) {
  const Ints bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
inline Ints everywhere(int32_t pair) { return _mm_set1_epi32(pair); }
inline Ints add_pairs(Ints a, Ints b, Ints sum) { return _mm_add_epi32(_mm_madd_epi16(a, b), sum); }
inline Floats as_floats(Ints a) { return _mm_cvtepi32_ps(a); }
#else
struct Ints {
  int16_t low[lanes<float>], high[lanes<float>];
  int32_t sum[lanes<float>];
};
inline Ints widened(const int8_t* from) {
  Ints a{};
  for (Size i = 0; i < lanes<float>; ++i) a.low[i] = from[2 * i], a.high[i] = from[2 * i + 1];
  return a;
}
inline Ints everywhere(int32_t pair) {
  Ints a{};
  for (Size i = 0; i < lanes<float>; ++i) {
    a.low[i] = int16_t(pair & 0xffff), a.high[i] = int16_t(pair >> 16);
    a.sum[i] = pair;
  }
  return a;
}
inline Ints add_pairs(const Ints& a, const Ints& b, Ints sum) {
  for (Size i = 0; i < lanes<float>; ++i)
    sum.sum[i] += int32_t(a.low[i]) * b.low[i] + int32_t(a.high[i]) * b.high[i];
  return sum;
}
inline Floats as_floats(const Ints& a) {
  Floats to{};
  for (Size i = 0; i < lanes<float>; ++i) to[i] = float(a.sum[i]);
  return to;
}
#endif
inline bool all_below(Floats a, Floats b) {
  bool all = true;
  for (Size i = 0; i < Size(sizeof(a) / sizeof(a[0])); ++i) all = all && a[i] < b[i];
  return all;
}

#endif

// A vector folded to 16 bytes.
#if defined(MEMNETS_AVX512) || defined(MEMNETS_AVX2)
template <class Fold>
inline __m128 narrowed(__m256 a, Fold fold) {
  return fold(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}
template <class Fold>
inline __m128d narrowed(__m256d a, Fold fold) {
  return fold(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
}
#endif
#if defined(MEMNETS_AVX512)
template <class Fold>
inline __m128 narrowed(Floats a, Fold fold) {
  return narrowed(fold(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)), fold);
}
template <class Fold>
inline __m128d narrowed(Doubles a, Fold fold) {
  return narrowed(fold(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1)), fold);
}
#elif !defined(MEMNETS_AVX2)
template <class V, class Fold>
inline V narrowed(V a, Fold) {
  return a;
}
#endif

#if !defined(MEMNETS_AVX512)
template <class Value>
inline Value inverse_root(Value a) {
  return 1 / root(a);
}
#endif

}  // namespace native

template <class T>
class Vector {
 public:
  Raw<T> raw;

  Vector() = default;
  Vector(Raw<T> value) : raw(value) {}
  explicit Vector(T value) : raw(value - Raw<T>{}) {}

  Vector sqrt() const { return native::root(raw); }
  Vector inverse_root() const { return native::inverse_root(raw); }

  // a with the first `count` numbers of b.
  static Vector set(Vector a, Vector b, Size count) {
    Raw<Bits<T>> index;
    for (Size i = 0; i < lanes<T>; ++i) index[i] = Bits<T>(i);
    return index < Bits<T>(count) - Raw<Bits<T>>{} ? b.raw : a.raw;
  }

  friend Vector operator+(Vector a, Vector b) { return a.raw + b.raw; }
  friend Vector operator-(Vector a, Vector b) { return a.raw - b.raw; }
  friend Vector operator*(Vector a, Vector b) { return a.raw * b.raw; }
  friend Vector operator/(Vector a, Vector b) { return a.raw / b.raw; }
  // Masks: all bits of a number's place, or none.
  friend auto operator<(Vector a, Vector b) { return a.raw < b.raw; }
  friend auto operator==(Vector a, Vector b) { return a.raw == b.raw; }
};

template <class T>
using Mask = decltype(Vector<T>() < Vector<T>());

template <class T>
inline Vector<T> select(Mask<T> mask, Vector<T> yes, Vector<T> no) {
  return mask ? yes.raw : no.raw;
}

template <class T>
inline Raw<Bits<T>> bits(Vector<T> value) {
  return (Raw<Bits<T>>)value.raw;
}

template <class T>
inline Vector<T> from_bits(Raw<Bits<T>> value) {
  return (Raw<T>)value;
}

template <class T>
inline Vector<T> load(const T* from) {
  return Raw<T>(*reinterpret_cast<const typename RawVector<T>::anywhere*>(from));
}

// Numbers past `count` are 0.
template <class T>
inline Vector<T> load(const T* from, Size count) {
  return count == lanes<T> ? load(from) : Vector<T>(native::load(from, count));
}

template <class T>
inline void store(Vector<T> value, T* to) {
  *reinterpret_cast<typename RawVector<T>::anywhere*>(to) = value.raw;
}

template <class T>
inline void store(Vector<T> value, T* to, Size count) {
  count == lanes<T> ? store(value, to) : native::store(value.raw, to, count);
}

// Past the caches, for what is not read again soon: `to` is at the beginning of a vector.
template <class T>
inline void store_away(Vector<T> value, T* to) {
  native::stream(value.raw, to);
}

template <class T>
inline Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
  return native::fused(a.raw, b.raw, c.raw);
}

// NaN where one of the two is.
template <class T>
inline Vector<T> maximum(Vector<T> a, Vector<T> b) {
  return select<T>(a == a, native::larger(a.raw, b.raw), a);
}

template <class T>
inline Vector<T> absolute(Vector<T> value) {
  constexpr Bits<T> sign = Bits<T>(1) << (8 * sizeof(T) - 1);
  return from_bits<T>(bits(value) & ~sign);
}

// Whether each number is below its fellow; not where one of the two is NaN.
inline bool all_below(Vector<float> a, Vector<float> b) { return native::all_below(a.raw, b.raw); }

// The magnitude of the one with the sign of the other.
template <class T>
inline Vector<T> with_sign(Vector<T> magnitude, Vector<T> sign_of) {
  constexpr Bits<T> sign = Bits<T>(1) << (8 * sizeof(T) - 1);
  return from_bits<T>((bits(magnitude) & ~sign) | (bits(sign_of) & sign));
}

template <class T>
inline T first(Vector<T> value) {
  return value.raw[0];
}

// Folds a vector in halves, the widest apart first; `fold` takes two vectors of any width.
template <class T, class Fold>
inline T folded(Vector<T> value, Fold fold) {
  const auto pair = native::narrowed(value.raw, fold);
  if constexpr (sizeof(T) == 8)
    return fold(pair[0], pair[1]);
  else
    return fold(fold(pair[0], pair[2]), fold(pair[1], pair[3]));
}

template <class T>
inline T total(Vector<T> value) {
  return folded(value, [](auto a, auto b) { return a + b; });
}

template <class T>
inline T largest_of(Vector<T> value) {
  return folded(value, [](auto a, auto b) { return a < b ? b : a; });
}

}  // namespace memnets

// exp, log, tanh, sigmoid and softplus of vectors, within 2 units in the last place of the exact
// value, for all numbers, infinities and NaN (docs/fused.md says what each came to).
//
// That holds where numbers too small to be normal are kept, and where they are read and written as
// 0, as in the kernel's own threads. The polynomials' coefficients are those which
// `python -m tests.stress.coefficients` prints.
#pragma once

#include "instructions.h"

namespace memnets {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  static constexpr Size fraction_bits = 23;
  static constexpr Size bias = 127;
  // Below, e^x rounds to 0; above, to infinity.
  static constexpr float least_exponent = -104, most_exponent = 89;
  // From here tanh(x / 2) rounds to 1.
  static constexpr float saturated = 20;
  // The first part has 12 bits: times a whole number it is exact.
  static constexpr float log2_high = 0.693115234375f, log2_low = 3.1946184945309417e-5f;
  static constexpr float exponential[] = {0.5f, 0.16666577f, 0.041666555f, 0.0083631731f,
                                          0.0013926176f};
  static constexpr float logarithm[] = {0.66666685f, 0.39988781f, 0.29579949f};
  static constexpr float tanh[] = {-0.33333332f, 0.13333114f, -0.053909429f, 0.021309389f,
                                   -0.0066102278f};
};

template <>
struct Constants<double> {
  static constexpr Size fraction_bits = 52;
  static constexpr Size bias = 1023;
  static constexpr double least_exponent = -746, most_exponent = 710;
  static constexpr double saturated = 44;
  static constexpr double log2_high = 0.69314718060195446014, log2_low = -4.2009150726810847e-11;
  static constexpr double exponential[] = {
      0.5,
      0.16666666666666670986,
      0.041666666666666669752,
      0.008333333333326140884,
      0.0013888888888883752417,
      0.00019841269874800491981,
      2.4801587325533363819e-5,
      2.7557255425746434282e-6,
      2.7557273661348636219e-7,
      2.5105206373957011116e-8,
      2.09146793765839351e-9};
  static constexpr double logarithm[] = {0.66666666666666696862, 0.3999999999989950449,
                                         0.28571428625975484921, 0.22222211134795079855,
                                         0.1818288912526172208,  0.15331721600556041269,
                                         0.1461644968504340586};
  static constexpr double tanh[] = {
      -0.33333333333333332561,
      0.13333333333332714826,
      -0.053968253967434014504,
      0.021869488493666941903,
      -0.0088632343978143548378,
      0.0035921103786890238773,
      -0.0014556618301007160336,
      0.00058893605200740577697,
      -0.00023463474108872371445,
      8.5113136855776715155e-5,
      -2.0602765376366341605e-5};
};

// Added to a small whole number, it leaves that in the lowest bits; added to any small number, it
// rounds to a whole one.
template <class T>
constexpr T whole = T(3) * T(Bits<T>(1) << (Constants<T>::fraction_bits - 1));

template <class T, std::size_t count>
MEMNETS_INLINE Vector<T> polynomial(const T (&coefficients)[count], Vector<T> x) {
  Vector<T> sum(coefficients[count - 1]);
  for (Size i = Size(count) - 2; i >= 0; --i)
    sum = multiply_add(sum, x, Vector<T>(coefficients[i]));
  return sum;
}

// e^x = 2^power (1 + rest).
template <class T>
struct Exponential {
  Vector<T> power, rest;

  explicit Exponential(Vector<T> x) {
    using C = Constants<T>;
    const Vector<T> round(whole<T>);
    power = multiply_add(x, Vector<T>(T(1.4426950408889634074)), round) - round;
    Vector<T> r = multiply_add(power, Vector<T>(-C::log2_high), x);
    r = multiply_add(power, Vector<T>(-C::log2_low), r);
    rest = multiply_add(r * r, polynomial(C::exponential, r), r);
  }
};

// value * 2^power, for a value near 1 and a power as far as numbers reach, rounded once.
template <class T>
MEMNETS_INLINE Vector<T> scaled(Vector<T> value, Vector<T> power) {
#if defined(MEMNETS_AVX512)
  return native::scaled(value.raw, power.raw);
#else
  // Two factors: neither has to be too large or too small for a normal number.
  using C = Constants<T>;
  const Raw<Bits<T>> both = bits(power + Vector<T>(whole<T> + T(2 * C::bias)));
  const Raw<Bits<T>> half = both >> 1;
  return value * from_bits<T>(half << C::fraction_bits) *
         from_bits<T>((both - half) << C::fraction_bits);
#endif
}

template <class T>
MEMNETS_INLINE Vector<T> exponential(Vector<T> x) {
  using C = Constants<T>;
  x = native::larger(Vector<T>(C::least_exponent).raw, x.raw);
  x = native::smaller(Vector<T>(C::most_exponent).raw, x.raw);
  const Exponential<T> e(x);
  return scaled(Vector<T>(1) + e.rest, e.power);
}

// By t = e / (1 + e) with e = e^-|x|, which does not overflow: 1 - t, and e - e t where x is
// negative, which is exact to the last digits of small e too.
template <class T>
MEMNETS_INLINE Vector<T> sigmoid(Vector<T> x) {
  const Vector<T> zero(0), one(1), e = exponential(zero - absolute(x)), t = e / (one + e);
  const Vector<T> first = select<T>(x < zero, e, one);
  return multiply_add(zero - first, t, first);
}

// 1 - 2 / (e^(2 |x|) + 1), and for small x, where that would lose digits, a polynomial.
template <class T>
MEMNETS_INLINE Vector<T> tanh(Vector<T> x) {
  using C = Constants<T>;
  const Vector<T> size = absolute(x), one(1), square = x * x;
  const Exponential<T> e(native::smaller(Vector<T>(C::saturated).raw, (size + size).raw));
  const Vector<T> power =
      from_bits<T>(bits(e.power + Vector<T>(whole<T> + T(C::bias))) << C::fraction_bits);
  const Vector<T> large = one - Vector<T>(2) / (multiply_add(power, e.rest, power) + one);
  const Vector<T> small = multiply_add(size * square, polynomial(C::tanh, square), size);
  return with_sign(select<T>(size < Vector<T>(T(0.55)), small, large), x);
}

// power * log 2 + log(1 + f), for a whole power and f from sqrt(1/2) - 1 to sqrt(2) - 1.
template <class T>
MEMNETS_INLINE Vector<T> logarithm_of(Vector<T> power, Vector<T> f) {
  using C = Constants<T>;
  const Vector<T> s = f / (f + Vector<T>(2)), z = s * s, half = Vector<T>(T(0.5)) * f * f;
  const Vector<T> rest = z * polynomial(C::logarithm, z);
  const Vector<T> small = multiply_add(power, Vector<T>(C::log2_low), s * (half + rest));
  return multiply_add(power, Vector<T>(C::log2_high), f - (half - small));
}

template <class T>
MEMNETS_INLINE Vector<T> logarithm(Vector<T> x) {
  using C = Constants<T>;
  using I = Bits<T>;
  const Raw<I> fraction = ((I(1) << C::fraction_bits) - 1) - Raw<I>{};
  // A number whose bits are these, plus a whole number, is 2^fraction_bits plus that number.
  constexpr I to_whole = I(C::bias + C::fraction_bits) << C::fraction_bits;
  const Vector<T> unit(T(I(1) << C::fraction_bits)), infinite(std::numeric_limits<T>::infinity());
  // What is not normal is its fraction's whole number, times the smallest number there is.
  const Mask<T> tiny = x < Vector<T>(std::numeric_limits<T>::min());
  const Vector<T> lifted = from_bits<T>((bits(x) & fraction) | to_whole) - unit;
  const Raw<I> from = bits(select<T>(tiny, lifted, x));
  const Vector<T> offset = select<T>(tiny, Vector<T>(T(2 * C::bias + C::fraction_bits - 1)),
                                     Vector<T>(T(C::bias)));
  // x = 2^power (1 + f), with 1 + f from sqrt(1/2) to sqrt(2).
  constexpr I one = I(C::bias) << C::fraction_bits;
  const I least = __builtin_bit_cast(I, T(0.70710678118654752440));
  const Raw<I> moved = from + (one - least);
  const Vector<T> power = from_bits<T>((moved >> C::fraction_bits) | to_whole) - unit - offset;
  const Vector<T> f = from_bits<T>((moved & fraction) + least) - Vector<T>(1);
  Vector<T> result = select<T>(x < infinite, logarithm_of(power, f), x);
  // Neither 0 nor less than 0, in bits: the sign's is the highest.
  const Raw<I> sign = bits(x) >> (8 * sizeof(T) - 1), size = bits(absolute(x));
  const Vector<T> none(std::numeric_limits<T>::quiet_NaN()), zero(0);
  result = select<T>(sign != 0 && size <= bits(infinite), none, result);
  return select<T>(size == 0, zero - infinite, result);
}

// log(1 + e^x), and x itself above 20, as torch has it.
template <class T>
MEMNETS_INLINE Vector<T> softplus(Vector<T> x) {
  const Vector<T> zero(0), one(1), half(T(0.5)), e = exponential(zero - absolute(x));
  const Mask<T> upper = Vector<T>(T(0.41421356237309504880)) < e;
  const Vector<T> power = select<T>(upper, one, zero);
  const Vector<T> f = select<T>(upper, multiply_add(half, e, zero - half), e);
  const Vector<T> sum = logarithm_of(power, f) + native::larger(zero.raw, x.raw);
  return select<T>(Vector<T>(20) < x, x, sum);
}

// Of one number.
template <class T>
inline T exponential(T x) {
  return first(exponential(Vector<T>(x)));
}
template <class T>
inline T sigmoid(T x) {
  return first(sigmoid(Vector<T>(x)));
}

}  // namespace memnets

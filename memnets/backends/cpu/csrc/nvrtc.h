// What the kernel's sources use of the C++ library, for a compiler that has none: NVRTC.
#pragma once

using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint32_t = unsigned;
using uint64_t = unsigned long long;
using DeviceSize = int;

namespace std {

using size_t = decltype(sizeof(0));
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T, T number>
struct integral_constant {
  static constexpr T value = number;
  constexpr operator T() const { return number; }
};
inline float nearbyint(float x) { return ::nearbyintf(x); }
inline double nearbyint(double x) { return ::nearbyint(x); }
// The largest number stands for infinity, which has no literal.
constexpr double largest = 1.7976931348623157e308;
constexpr bool isfinite(double x) { return -largest < x && x < largest; }

template <class T>
struct numeric_limits;
template <>
struct numeric_limits<float> {
  static float infinity() { return __int_as_float(0x7f800000); }
  static float quiet_NaN() { return __int_as_float(0x7fc00000); }
  static constexpr float min() { return 1.17549435e-38f; }
};
template <>
struct numeric_limits<double> {
  static double infinity() { return __longlong_as_double(0x7ff0000000000000); }
  static double quiet_NaN() { return __longlong_as_double(0x7ff8000000000000); }
  static constexpr double min() { return 2.2250738585072014e-308; }
};

}  // namespace std

#define MEMNETS_ALWAYS
#define MEMNETS_INLINE inline
#define MEMNETS_SIZED __forceinline__
#define MEMNETS_UNROLL _Pragma("unroll")

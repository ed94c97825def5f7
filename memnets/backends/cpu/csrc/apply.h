// The functions over an array: how their tests call them.
#pragma once

#include "vectors.h"

namespace memnets {

enum class Function : Size { exponential, logarithm, tanh, sigmoid, softplus };

template <class T, class Map>
inline void map(const T* from, T* to, Size count, Map function) {
  each<T>(count, [=](Size n, Size part) { store(function(load(from + n, part)), to + n, part); });
}

template <class T>
inline void apply(Function function, const T* from, T* to, Size count) {
  switch (function) {
    case Function::exponential:
      return map(from, to, count, [](Vector<T> x) { return exponential(x); });
    case Function::logarithm:
      return map(from, to, count, [](Vector<T> x) { return logarithm(x); });
    case Function::tanh: return map(from, to, count, [](Vector<T> x) { return tanh(x); });
    case Function::sigmoid: return map(from, to, count, [](Vector<T> x) { return sigmoid(x); });
    case Function::softplus: return map(from, to, count, [](Vector<T> x) { return softplus(x); });
  }
}

}  // namespace memnets

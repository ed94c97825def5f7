// A read of the words that were found, by one head (memnets.parts.sparse.read_words):
// w = softmax_K(strength cos(key, word)), and r = sum_K w word; forward and backward.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

namespace memnets {

template <class T>
T inner_product(const T* a, const T* b, Size size) {
  Vector<T> sum(0);
  each<T>(size, [&](Size start, Size count) {
    sum = multiply_add(load(a + start, count), load(b + start, count), sum);
  });
  return total(sum);
}

// into += factor * from
template <class T>
void add_times(T factor, const T* from, T* into, Size size) {
  each<T>(size, [&](Size start, Size count) {
    store(multiply_add(Vector<T>(factor), load(from + start, count), load(into + start, count)),
          into + start, count);
  });
}

template <class T>
struct SparseRead {
  Size count, size;  // K, W
  T epsilon;
  const T* words;  // [K, W]
  const T* key;    // [W]
  T strength;

  T inverse(T square, T norm) const { return 1 / std::sqrt(square * norm + epsilon); }

  void forward(T* weights, T* vector) const {
    const T square = inner_product(key, key, size);
    for (Size k = 0; k < count; ++k) {
      const T* word = words + k * size;
      weights[k] =
          strength * inner_product(word, key, size) * inverse(square, inner_product(word, word, size));
    }
    const T largest = *std::max_element(weights, weights + count);
    T sum = 0;
    for (Size k = 0; k < count; ++k) sum += weights[k] = std::exp(weights[k] - largest);
    std::fill(vector, vector + size, T(0));
    for (Size k = 0; k < count; ++k) add_times(weights[k] /= sum, words + k * size, vector, size);
  }

  // Adds the gradients of the words to d_word(k) and sets that of the key; returns that of the strength.
  // Where d_vector is null, it is 0.
  template <class Row>
  T backward(const T* weights, const T* d_weights, const T* d_vector, Row d_word, T* d_key) const {
    const T square = inner_product(key, key, size);
    std::vector<T> d(count);
    T mean = 0, d_strength = 0, d_square = 0;
    for (Size k = 0; k < count; ++k) {
      d[k] = d_weights[k] + (d_vector ? inner_product(words + k * size, d_vector, size) : T(0));
      mean += weights[k] * d[k];
    }
    std::fill(d_key, d_key + size, T(0));
    for (Size k = 0; k < count; ++k) {
      const T* word = words + k * size;
      const T norm = inner_product(word, word, size), root = inverse(square, norm);
      const T cosine = inner_product(word, key, size) * root, d_score = weights[k] * (d[k] - mean);
      const T d_product = strength * d_score * root, d_root = -d_product * cosine * root;
      d_strength += d_score * cosine;
      d_square += d_root * norm;
      add_times(d_product, word, d_key, size);
      if (d_vector) add_times(weights[k], d_vector, d_word(k), size);
      add_times(d_product, key, d_word(k), size);
      add_times(d_root * square, word, d_word(k), size);
    }
    add_times(d_square, key, d_key, size);
    return d_strength;
  }
};

}  // namespace memnets

// Products with weights where they are: for a few steps of a few rows, where packing costs more than it
// brings (matmul.h).
#pragma once

#include <vector>

#include "vectors.h"

namespace memnets {

template <class T>
class Direct {
 public:
  // Columns `column` and on of A go through `from` [rows, columns] to columns `row` and on of C.
  void put(const T* from, Size stride, Size row, Size rows, Size column, Size columns) {
    parts_.push_back({from, stride, row, rows, column, columns});
  }

  // C += A weights^T, for `count` rows of A and C
  void multiply(Size count, const T* a, Size a_stride, T* c, Size c_stride) const {
    for (const Part& part : parts_) {
      const T* from = a + part.column;
      T* to = c + part.row;
      Size n = 0;
      for (; n + 2 <= count; n += 2)
        add_products<2>(part, from + n * a_stride, a_stride, to + n * c_stride, c_stride);
      if (n < count) add_products<1>(part, from + n * a_stride, a_stride, to + n * c_stride, c_stride);
    }
  }

 private:
  struct Part {
    const T* from;
    Size stride, row, rows, column, columns;
  };

  template <Size count>
  static void add_products(const Part& part, const T* a, Size a_stride, T* c, Size c_stride) {
    Size i = 0;
    for (; i + 4 <= part.rows; i += 4) add_dots<count, 4>(part, i, a, a_stride, c + i, c_stride);
    for (; i < part.rows; ++i) add_dots<count, 1>(part, i, a, a_stride, c + i, c_stride);
  }

  // Several rows of weights at once: one sum waits for itself, four or eight wait for nobody.
  template <Size count, Size rows>
  static void add_dots(const Part& part, Size row, const T* a, Size a_stride, T* c, Size c_stride) {
    const T* from = part.from + row * part.stride;
    Vector<T> sums[count][rows];
    MEMNETS_UNROLL
    for (Size n = 0; n < count; ++n)
      MEMNETS_UNROLL
      for (Size i = 0; i < rows; ++i) sums[n][i] = Vector<T>(0);
    Size k = 0;
    for (; k + lanes<T> <= part.columns; k += lanes<T>) {
      Vector<T> weights[rows];
      MEMNETS_UNROLL
      for (Size i = 0; i < rows; ++i) weights[i] = load(from + i * part.stride + k);
      MEMNETS_UNROLL
      for (Size n = 0; n < count; ++n) {
        const Vector<T> factor = load(a + n * a_stride + k);
        MEMNETS_UNROLL
        for (Size i = 0; i < rows; ++i) sums[n][i] = multiply_add(factor, weights[i], sums[n][i]);
      }
    }
    if (const Size left = part.columns - k; left > 0) {
      MEMNETS_UNROLL
      for (Size n = 0; n < count; ++n) {
        const Vector<T> factor = load(a + n * a_stride + k, left);
        MEMNETS_UNROLL
        for (Size i = 0; i < rows; ++i)
          sums[n][i] = multiply_add(factor, load(from + i * part.stride + k, left), sums[n][i]);
      }
    }
    MEMNETS_UNROLL
    for (Size n = 0; n < count; ++n)
      MEMNETS_UNROLL
      for (Size i = 0; i < rows; ++i) c[n * c_stride + i] += total(sums[n][i]);
  }

  std::vector<Part> parts_;
};

}  // namespace memnets

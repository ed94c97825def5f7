// Small products C += A B, where B is used at every step and A has a thread's few rows.
//
// B is packed once a call into panels of `panel` vectors, so that a step streams it from the cache
// in order, and a tile of C stays in registers while it does.
#pragma once

#include <vector>

#include "vectors.h"

namespace memnets {

constexpr Size panel = 3;  // vectors side by side; with tile_rows this many, registers hold a tile
#if defined(CPU_CAPABILITY_AVX512)
constexpr Size tile_rows = 8;
#else
constexpr Size tile_rows = 4;
#endif

template <class T>
class Packed {
 public:
  // from[k * row_stride + j * column_stride] is B's entry k, j.
  Packed(const T* from, Size rows, Size columns, Size row_stride, Size column_stride)
      : rows_(rows), columns_(columns) {
    const Size width = panel * lanes<T>;
    const Size panels = (columns + width - 1) / width;
    content_.assign(panels * rows * width, T(0));
    for (Size j = 0; j < columns; ++j)
      for (Size k = 0; k < rows; ++k)
        content_[(j / width * rows + k) * width + j % width] =
            from[k * row_stride + j * column_stride];
  }

  // C [count, columns] += A [count, rows] B
  void multiply(Size count, const T* a, Size a_stride, T* c, Size c_stride) const {
    Size row = 0;
    for (; row + tile_rows <= count; row += tile_rows)
      tiles<tile_rows>(a + row * a_stride, a_stride, c + row * c_stride, c_stride);
    rest<tile_rows - 1>(count - row, a + row * a_stride, a_stride, c + row * c_stride, c_stride);
  }

 private:
  template <Size count>
  void rest(Size wanted, const T* a, Size a_stride, T* c, Size c_stride) const {
    if constexpr (count > 0) {
      if (wanted == count)
        tiles<count>(a, a_stride, c, c_stride);
      else
        rest<count - 1>(wanted, a, a_stride, c, c_stride);
    }
  }

  template <Size count>
  void tiles(const T* a, Size a_stride, T* c, Size c_stride) const {
    const Size width = panel * lanes<T>;
    const T* b = content_.data();
    for (Size j = 0; j < columns_; j += width, b += rows_ * width)
      tile<count>(a, a_stride, b, c + j, c_stride, std::min(width, columns_ - j));
  }

  template <Size count>
  void tile(const T* a, Size a_stride, const T* b, T* c, Size c_stride, Size columns) const {
    Vector<T> sums[count][panel];
    MEMNETS_UNROLL
    for (Size i = 0; i < count; ++i)
      MEMNETS_UNROLL
      for (Size p = 0; p < panel; ++p) sums[i][p] = Vector<T>(0);
    for (Size k = 0; k < rows_; ++k, b += panel * lanes<T>) {
      Vector<T> parts[panel];
      MEMNETS_UNROLL
      for (Size p = 0; p < panel; ++p) parts[p] = load(b + p * lanes<T>);
      MEMNETS_UNROLL
      for (Size i = 0; i < count; ++i) {
        const Vector<T> factor(a[i * a_stride + k]);
        MEMNETS_UNROLL
        for (Size p = 0; p < panel; ++p) sums[i][p] = multiply_add(factor, parts[p], sums[i][p]);
      }
    }
    MEMNETS_UNROLL
    for (Size i = 0; i < count; ++i)
      MEMNETS_UNROLL
      for (Size p = 0; p < panel; ++p) {
        const Size left = std::min(columns - p * lanes<T>, lanes<T>);
        if (left <= 0) continue;
        T* to = c + i * c_stride + p * lanes<T>;
        store(load(to, left) + sums[i][p], to, left);
      }
  }

  Size rows_, columns_;
  Room<T> content_;
};

}  // namespace memnets

// The products of a step on a GPU: C = D + A B by all threads of a block, each for a column of C, or where
// there are more threads than columns, for a part of its sum.
#pragma once

#include "sequence.h"

namespace memnets {

// B [rows, columns] as the caller packed it: weights of a backward, weights^T of a forward.
template <class T>
class BlockProduct {
 public:
  static constexpr int tile = 4;  // rows of A at once, for which a number of B is read once

  // `shares`: tile * threads numbers.
  BlockProduct(const void* content, Size rows, Size columns, T* shares)
      : content_(static_cast<const T*>(content)), rows_(rows), columns_(columns), shares_(shares) {}

  // D may be C; a stride of 0 takes one row for all. All threads come before and leave after it is done.
  void multiply(Size count, const T* a, Size a_stride, const T* d, Size d_stride, T* c,
                Size c_stride) const {
    Size row = 0;
    for (; row + tile <= count; row += tile)
      part<tile>(a + row * a_stride, a_stride, d + row * d_stride, d_stride, c + row * c_stride,
                 c_stride);
    for (; row < count; ++row)
      part<1>(a + row * a_stride, a_stride, d + row * d_stride, d_stride, c + row * c_stride, c_stride);
    block_barrier();
  }

 private:
  template <int count>
  void part(const T* a, Size a_stride, const T* d, Size d_stride, T* c, Size c_stride) const {
    const Size threads = threads_of_block(), thread = thread_of_block(), width = padded<T>(columns_);
    const Size parts = std::max(Size(1), threads / width);
    T sums[count];
    if (parts == 1) {
      for (Size j = thread; j < columns_; j += threads) {
        add_up<count>(a, a_stride, j, 0, rows_, sums);
        MEMNETS_UNROLL
        for (int i = 0; i < count; ++i) c[i * c_stride + j] = d[i * d_stride + j] + sums[i];
      }
      return;
    }
    const Size j = thread % width, index = thread / width;
    const bool there = index < parts && j < columns_;
    add_up<count>(a, a_stride, j, there ? rows_ * index / parts : 0,
                  there ? rows_ * (index + 1) / parts : 0, sums);
    MEMNETS_UNROLL
    for (int i = 0; i < count; ++i) shares_[i * threads + thread] = sums[i];
    block_barrier();
    if (thread < columns_)
      for (int i = 0; i < count; ++i) {
        T sum = 0;
        for (Size p = 0; p < parts; ++p) sum += shares_[i * threads + p * width + thread];
        c[i * c_stride + thread] = d[i * d_stride + thread] + sum;
      }
    block_barrier();
  }

  template <int count>
  void add_up(const T* a, Size a_stride, Size j, Size from, Size to, T (&sums)[count]) const {
    MEMNETS_UNROLL
    for (int i = 0; i < count; ++i) sums[i] = 0;
    for (Size k = from; k < to; ++k) {
      const T b = content_[k * columns_ + j];
      MEMNETS_UNROLL
      for (int i = 0; i < count; ++i) sums[i] = fma(a[i * a_stride + k], b, sums[i]);
    }
  }

  const T* content_;
  Size rows_, columns_;
  T* shares_;
};

// Has the members of Weights (weights.h) that the loop uses: x, the readout and the gradients of weights
// are products over all steps, which the caller makes.
template <class T, class Given>
class BlockWeights {
  struct Layers {
    const Given& p;
    bool forward;
    T* shares;
    BlockProduct<T> operator[](Size l) const {
      const Layer& layer = p.layers[l];
      const Size width = layer.width, rows = layer.rows;
      return {layer.input_weights, forward ? width : rows, forward ? rows : width, shares};
    }
  };

 public:
  static constexpr bool inputs_and_readout = false;

  BlockWeights(const Given& problem, bool forward, T* shares)
      : layers{problem, forward, shares},
        interface_part(problem.interface_weights, forward ? outputs(problem) : Size(problem.numbers),
                       forward ? Size(problem.numbers) : outputs(problem), shares) {}

  Layers layers;
  BlockProduct<T> interface_part;

 private:
  static Size outputs(const Given& problem) {
    return problem.hidden * (problem.skip ? problem.depth : 1);
  }
};

// A block's rows of the batch through all steps.
template <class T, class Given, class Memory>
inline void run_block(const Given& problem, bool forward, T* arena_of_block) {
  const Size first = blockIdx.x * workers(), left = Size(problem.batch) - first;
  Arena<T> arena(arena_of_block);
  const BlockWeights<T, Given> weights(problem, forward, arena.take(BlockProduct<T>::tile * threads_of_block()));
  Rows<T, Given, Memory, BlockWeights<T, Given>> rows(problem, weights, first, std::min(workers(), left),
                                                      arena);
  forward ? rows.forward() : rows.backward();
}

}  // namespace memnets

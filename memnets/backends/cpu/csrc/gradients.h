// The gradients of the weights: products over all steps of all rows at once, after the loop.
//
// A product y = W u + b, made at every step, leaves d_W = sum_t d_y(t) u(t)^T and d_b = sum_t d_y(t)
// (docs/derivations.md, linear). u is given in pieces that lie apart.
#pragma once

#include <vector>

#include "matmul.h"
#include "problem.h"

namespace memnets {

// A piece of u: [steps, columns].
template <class T>
struct Taken {
  const T* from;
  Size stride, columns;
};

// sums [rows, width] = d_y^T u for some rows of W at a time, and after u's columns that of the bias. It is
// added up in double: where d_y cancels, single numbers would leave the rounding of all of them.
template <class T>
class StepSums {
 public:
  explicit StepSums(Size steps, std::vector<Taken<T>> taken) : steps_(steps), taken_(std::move(taken)) {
    for (const Taken<T>& piece : taken_) columns_ += piece.columns;
    panels_ = (columns_ + panel * lanes<T>) / (panel * lanes<T>);
    packed_.assign(panels_ * panel_size, T(0));
    slices_.resize(block * tile_rows);
  }

  Size width() const { return panels_ * panel * lanes<T>; }

  // Rows `first` and on of W. `sums` is made for whole tiles of rows.
  void add_up(const T* d, Size d_stride, Size first, Size rows, Buffer<T>& sums) {
    sums.resize(padded_rows(rows) * width());
    totals_.assign(padded_rows(rows), 0);
    for (Size start = 0; start < steps_; start += block) {
      const Size steps = std::min(block, steps_ - start);
      pack(start, steps);
      for (Size row = 0; row < rows; row += tile_rows) {
        slice(d + start * d_stride + first + row, d_stride, steps, std::min(tile_rows, rows - row),
              totals_.data() + row);
        T* to = sums.data() + row * width();
        for (Size i = 0; i < panels_; ++i) {
          const Size left = columns_ - i * panel * lanes<T>;
          T* place = to + i * panel * lanes<T>;
          const bool anew = start == 0;
          if (left > 2 * lanes<T>)
            add_tile<panel>(i, steps, anew, place);
          else if (left > lanes<T>)
            add_tile<2>(i, steps, anew, place);
          else if (left > 0)
            add_tile<1>(i, steps, anew, place);
        }
      }
    }
    for (Size row = 0; row < rows; ++row) sums[row * width() + columns_] = T(totals_[row]);
  }

 private:
  static constexpr Size block = 64;  // steps at once: as many as keep u and a tile's d_y in the cache
  static constexpr Size panel_size = block * panel * lanes<T>;

  // u's columns side by side, in panels [steps, panel].
  void pack(Size start, Size steps) {
    const Size wide = panel * lanes<T>;
    Size column = 0;
    for (const Taken<T>& piece : taken_) {
      for (Size done = 0; done < piece.columns;) {
        const Size place = (column + done) % wide, most = std::min(wide - place, piece.columns - done);
        T* to = packed_.data() + (column + done) / wide * panel_size + place;
        for (Size t = 0; t < steps; ++t, to += wide)
          std::memcpy(to, piece.from + (start + t) * piece.stride + done, most * sizeof(T));
        done += most;
      }
      column += piece.columns;
    }
  }

  static Size padded_rows(Size rows) { return (rows + tile_rows - 1) / tile_rows * tile_rows; }

  // d_y of a tile's rows, side by side: [steps, tile_rows]; and their sums.
  void slice(const T* d, Size d_stride, Size steps, Size rows, double* totals) {
    double sums[tile_rows] = {};
    const auto some = [&](auto count) MEMNETS_ALWAYS {
      T* to = slices_.data();
      for (Size t = 0; t < steps; ++t, d += d_stride, to += tile_rows)
        for (Size i = 0; i < count; ++i) {
          const T value = d[i];
          to[i] = value;
          sums[i] += value;
        }
    };
    if (rows == tile_rows) {
      some(Count<tile_rows>());
    } else {
      fill(slices_.data(), steps * tile_rows);
      some(rows);
    }
    for (Size i = 0; i < tile_rows; ++i) totals[i] += sums[i];
  }

  template <Size vectors>
  void add_tile(Size index, Size steps, bool anew, T* to) const {
    const T* b = packed_.data() + index * panel_size;
    const T* a = slices_.data();
    Vector<T> sums[tile_rows][vectors];
    MEMNETS_UNROLL
    for (Size i = 0; i < tile_rows; ++i)
      MEMNETS_UNROLL
      for (Size p = 0; p < vectors; ++p) sums[i][p] = anew ? Vector<T>(0) : load(to + i * width() + p * lanes<T>);
    for (Size t = 0; t < steps; ++t, a += tile_rows, b += panel * lanes<T>) {
      Vector<T> parts[vectors];
      MEMNETS_UNROLL
      for (Size p = 0; p < vectors; ++p) parts[p] = load(b + p * lanes<T>);
      MEMNETS_UNROLL
      for (Size i = 0; i < tile_rows; ++i) {
        const Vector<T> factor(a[i]);
        MEMNETS_UNROLL
        for (Size p = 0; p < vectors; ++p) sums[i][p] = multiply_add(factor, parts[p], sums[i][p]);
      }
    }
    MEMNETS_UNROLL
    for (Size i = 0; i < tile_rows; ++i)
      MEMNETS_UNROLL
      for (Size p = 0; p < vectors; ++p) store(sums[i][p], to + i * width() + p * lanes<T>);
  }

  Size steps_, columns_ = 0, panels_ = 0;
  std::vector<Taken<T>> taken_;
  Buffer<T> packed_, slices_;
  Buffer<double> totals_;
};

// Where a gradient goes: columns `column` and on of the sums, rows `row` and on, to [rows, columns].
template <class T>
struct Share {
  void* to;
  Size row, rows, column, columns;
};

// One product's gradients. A thread takes some of its rows over all steps, so that the number of
// threads changes no sum.
template <class T>
void product_gradients(Size steps, const std::vector<Taken<T>>& taken, const void* d, Size rows,
                       const std::vector<Share<T>>& shares, Size thread, Size threads) {
  const Size tiles = (rows + tile_rows - 1) / tile_rows;
  const Size first = tiles * thread / threads * tile_rows;
  const Size end = std::min(rows, tiles * (thread + 1) / threads * tile_rows);
  if (first >= end) return;
  StepSums<T> product(steps, taken);
  Buffer<T> sums;
  product.add_up(static_cast<const T*>(d), rows, first, end - first, sums);
  for (const Share<T>& share : shares)
    for (Size row = std::max(first, share.row); row < std::min(end, share.row + share.rows); ++row)
      std::memcpy(static_cast<T*>(share.to) + (row - share.row) * share.columns,
                  sums.data() + (row - first) * product.width() + share.column,
                  share.columns * sizeof(T));
}

// [steps, columns], if there are any.
template <class T>
void take(std::vector<Taken<T>>& taken, const void* from, Size columns) {
  if (columns) taken.push_back({static_cast<const T*>(from), columns, columns});
}

template <class T>
void layer_gradients(const Problem& p, const Layer& layer, Size thread, Size threads) {
  const bool gru = static_cast<Cell>(p.cell) == Cell::gru;
  const Size hidden = p.hidden, own = layer.own >= 0 ? hidden : 0;
  const Size seen = layer.inputs + layer.width - own, bias = seen + own;
  std::vector<Taken<T>> taken;
  take(taken, p.x, layer.inputs);
  take(taken, layer.z, layer.width);
  // A GRU's rows are four blocks: its first three have weights of the input, all but the third of h.
  const Size from_input = gru ? 3 * hidden : layer.rows, shared = gru ? 2 * hidden : layer.rows;
  std::vector<Share<T>> shares{{layer.d_input_weights, 0, from_input, 0, seen},
                               {layer.d_bias_ih, 0, from_input, bias, 1}};
  if (own) shares.push_back({layer.d_own_weights, 0, shared, seen, own});
  if (gru) {
    T* weights = static_cast<T*>(layer.d_own_weights) + shared * own;
    T* biases = static_cast<T*>(layer.d_bias_hh);
    shares.push_back({weights, 3 * hidden, hidden, seen, own});
    shares.push_back({biases, 0, shared, bias, 1});
    shares.push_back({biases + shared, 3 * hidden, hidden, bias, 1});
  }
  product_gradients(p.time * p.batch, taken, layer.d_gates, layer.rows, shares, thread, threads);
}

// Those of all weights and biases, from what the loop left of z, h and their products' gradients.
template <class T>
void weight_gradients(const Problem& p, Size thread, Size threads) {
  for (Size l = 0; l < p.depth; ++l) layer_gradients<T>(p, p.layers[l], thread, threads);
  const Size outputs = p.hidden * (p.skip ? p.depth : 1);
  std::vector<Taken<T>> taken;
  take(taken, p.h, outputs);
  product_gradients<T>(p.time * p.batch, taken, p.d_raw, p.numbers,
                       {{p.d_interface_weights, 0, p.numbers, 0, outputs},
                        {p.d_interface_bias, 0, p.numbers, outputs, 1}},
                       thread, threads);
  if (!p.d_y) return;
  const Size reads = p.read_heads * p.word;
  take(taken, p.read_vectors, reads);
  product_gradients<T>(p.time * p.batch, taken, p.d_y, p.logits,
                       {{p.d_readout_weights, 0, p.logits, 0, outputs + reads},
                        {p.d_readout_bias, 0, p.logits, outputs + reads, 1}},
                       thread, threads);
}

}  // namespace memnets

// The weights that a loop multiplies with at every step, packed once a call (matmul.h).
#pragma once

#include <vector>

#include "matmul.h"
#include "problem.h"

namespace memnets {

template <class T>
struct Weights {
  std::vector<Packed<T>> layers;
  Packed<T> interface_part;
};

// What a loop multiplies with. Forward: C += A weights^T. Backward: C += A weights.
template <class T>
class Packing {
 public:
  Packing(Size rows, Size columns, bool forward)
      : forward_(forward), packed_(forward ? columns : rows, forward ? rows : columns) {}

  // weights[row + i, column + j] = from[i, j]
  void put(const void* from, Size stride, Size row, Size rows, Size column, Size columns) {
    const T* first = static_cast<const T*>(from);
    if (forward_)
      packed_.put(first, column, columns, 1, row, rows, stride);
    else
      packed_.put(first, row, rows, stride, column, columns, 1);
  }

  Packed<T> done() { return std::move(packed_); }

 private:
  bool forward_;
  Packed<T> packed_;
};

template <class T>
Packed<T> pack_layer(const Problem& problem, const Layer& layer, bool forward) {
  const Size hidden = problem.hidden, inner = layer.own >= 0 ? layer.own : layer.width;
  const bool gru = static_cast<Cell>(problem.cell) == Cell::gru;
  Packing<T> packing(layer.rows, layer.width, forward);
  const T* input = static_cast<const T*>(layer.input_weights) + layer.inputs;
  packing.put(input, layer.input_stride, 0, gru ? 3 * hidden : layer.rows, 0, inner);
  if (layer.own >= 0) {
    const T* own = static_cast<const T*>(layer.own_weights);
    packing.put(own, hidden, 0, gru ? 2 * hidden : layer.rows, inner, hidden);
    if (gru) packing.put(own + 2 * hidden * hidden, hidden, 3 * hidden, hidden, inner, hidden);
  }
  return packing.done();
}

template <class T>
Weights<T> pack(const Problem& problem, bool forward) {
  std::vector<Packed<T>> layers;
  for (Size l = 0; l < problem.depth; ++l)
    layers.push_back(pack_layer<T>(problem, problem.layers[l], forward));
  const Size outputs = problem.hidden * (problem.skip ? problem.depth : 1);
  Packing<T> interface_part(problem.numbers, outputs, forward);
  interface_part.put(problem.interface_weights, outputs, 0, problem.numbers, 0, outputs);
  return {std::move(layers), interface_part.done()};
}

}  // namespace memnets
